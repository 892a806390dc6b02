"""``selfmoe continual``: experts come to a run one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import names, runs

if TYPE_CHECKING:
    from selfmoe.api.continual.plan import ContinualPlan


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option(
    "--domains",
    shell_complete=names("domain"),
    help="Who comes, in order, with commas between: experts of the run, which it then begins "
    "without, and domains of plugins. Default: the run's own, all but the first.",
)
@click.option(
    "--router",
    "join",
    type=click.Choice(["extend", "refit"]),
    default="extend",
    show_default=True,
    help="extend: keep what compositions have learnt, where they can; refit: make them anew.",
)
@click.option("--systems", help="Comma-separated compositions they join; default: all that route.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    run: Path, domains: str | None, join: Any, systems: str | None, dry_run: bool, as_json: bool
) -> None:
    """Let experts come to a finished RUN one by one, and measure every state.

    A line an arrival: what the new expert and the mixture do on the new domain, what became of the
    old ones since they came, and what it cost. Then every expert is taken out again. The run's
    settings and report stay as they are; what is done is not done again.

    \b
    Examples:
      selfmoe continual runs/demo
      selfmoe continual runs/demo --domains math,reasoning --router refit
      selfmoe continual runs/demo --domains chemistry,law --systems mixse,ties
    """
    from selfmoe.api.continual.plan import plan_continual

    plan = plan_continual(run, options.listed(domains), join=join, systems=options.listed(systems))
    if dry_run:
        _show(plan)
    else:
        _carry_out(plan, join, as_json)


def _show(plan: ContinualPlan) -> None:
    from selfmoe.cli.plan_table import print_tasks
    from selfmoe.contracts.errors import counted
    from selfmoe.pipeline.forecast import rates_of

    root, came = plan.directory.root, counted(len(plan.states) - 1, "arrival")
    print_tasks(f"Plan of {came} in {root}", plan.tasks, rates_of(plan.base, root))


def _carry_out(plan: ContinualPlan, join: Any, as_json: bool) -> None:
    import json

    from selfmoe.api.continual.continual import carry_out
    from selfmoe.cli.plan_table import say_todo
    from selfmoe.reporting.continual.tables import print_continual
    from selfmoe.reporting.terminal.progress import Display, output

    display = Display()
    came = ", ".join(state.expert for state in plan.states[1:])
    say_todo(f"One by one: {came}", plan.tasks, display)
    made = carry_out(plan, display, join)
    if as_json:
        click.echo(json.dumps(made.results.to_json(), indent=1, ensure_ascii=False))
    else:
        console = output()
        print_continual(made.results, console)
        where = f"Results: {made.directory.results}   Page: {made.directory.page}"
        console.print(where, markup=False, soft_wrap=True)
    made.outcome.raise_failures()
