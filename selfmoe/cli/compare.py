"""``selfmoe compare``: routers and merges side by side, on the experts of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import names, runs

if TYPE_CHECKING:
    from selfmoe.api.comparison.plan import ComparisonPlan


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option(
    "--routers",
    multiple=True,
    metavar="SPECS",
    shell_complete=names("router"),
    help="Routers, with commas between: name or name:option=value:option=value. Default: all.",
)
@click.option(
    "--merges",
    multiple=True,
    metavar="SPECS",
    shell_complete=names("merge"),
    help="The same of merges. Where one of both is given, only what is named is compared.",
)
@click.option(
    "--seeds", type=int, default=1, help="Composer seeds each is composed with; default: 1."
)
@click.option("--seed", type=int, help="Root seed whose experts are used; default: the first.")
@click.option("--limit", type=int, help="Items a benchmark; default: as the run.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    run: Path,
    routers: tuple[str, ...],
    merges: tuple[str, ...],
    seeds: int,
    seed: int | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare routers and merges on the experts of RUN: scores, differences, cost.

    What is missing is composed and evaluated, nothing is done twice, and no expert is trained. The
    run's settings and report stay as they are; the comparison lies in its folder comparison/.

    \b
    Examples:
      selfmoe compare runs/demo
      selfmoe compare runs/demo --routers topk:k=2,random --merges ties
      selfmoe compare runs/demo --routers topk:k=2:weight=one --seeds 3 --json
    """
    from selfmoe.api.comparison.plan import Question, plan_comparison

    question = Question(run, routers or None, merges or None, seeds, seed, limit)
    plan = plan_comparison(question)
    if dry_run:
        _show(plan)
    else:
        _carry_out(plan, as_json)


def _show(plan: ComparisonPlan) -> None:
    from selfmoe.cli.plan_table import print_tasks
    from selfmoe.pipeline.forecast import rates_of
    from selfmoe.reporting.terminal.progress import output

    for label, why in plan.no_composers.items():
        output().print(f"Left out: {label}: {why}", markup=False, soft_wrap=True)
    root = plan.directory.root
    print_tasks(f"Plan of a comparison in {root}", plan.tasks, rates_of(plan.base, root))


def _carry_out(plan: ComparisonPlan, as_json: bool) -> None:
    import json

    from selfmoe.api.comparison.compare import carry_out
    from selfmoe.cli.plan_table import say_todo
    from selfmoe.reporting.comparison.tables import print_comparison
    from selfmoe.reporting.terminal.progress import Display, output

    display = Display()
    say_todo(f"Comparing {', '.join(plan.config.compose or {})}", plan.tasks, display)
    made = carry_out(plan, display)
    if as_json:
        click.echo(json.dumps(made.results.to_json(), indent=1))
    else:
        console = output()
        print_comparison(made.results, console)
        where = f"Results: {made.directory.results}   Report: {made.directory.page}"
        console.print(where, markup=False, soft_wrap=True)
    made.outcome.raise_failures()
