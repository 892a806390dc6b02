"""``selfmoe claims``: what a run says of the paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import keys, names, runs

if TYPE_CHECKING:
    from selfmoe.api.claims.plan import ClaimsPlan
    from selfmoe.api.claims.question import ClaimsQuestion


@click.command()
@click.argument("run", required=False, type=options.PATH, shell_complete=runs)
@click.option(
    "--base",
    shell_complete=names("base"),
    help="Make a run of this base first, by its preset 'claims' or its default one.",
)
@click.option("--out", help="Folder of the run that is made; default: runs/<preset>.")
@click.option("--seeds", help="Root seeds, 0..4 or 0,3,7; default: those of the run.")
@click.option(
    "--only", help="Claims by id, or table1, figure3, figurec3, review, …, with commas between."
)
@click.option("--limit", type=int, help="Items a benchmark; default: as the run.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=keys,
    help="Change a setting of the run.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "target", type=options.PATH, help="Also write the verdicts there.")
def command(
    run: Path | None,
    base: str | None,
    out: str | None,
    seeds: str | None,
    only: str | None,
    limit: int | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    target: Path | None,
) -> None:
    """Test the claims of the Self-MoE paper on RUN, each with a verdict and an interval.

    What claims need besides the run is made, in the run's folder; nothing is done twice, and the
    run's own report stays as it is. Without RUN, one is made of --base.

    \b
    Examples:
      selfmoe claims runs/demo --only table1,figure3 --dry-run
      selfmoe claims runs/demo --seeds 0..4 --json claims.json
      selfmoe claims --base seedling --seeds 0..4
    """
    from selfmoe.api.claims.question import plan_question
    from selfmoe.reporting.terminal.progress import Display

    display = Display()
    question = _question(run, base, seeds, only, _settings(out, limit, assignments))
    plan = plan_question(question, display, dry=dry_run)
    if dry_run:
        _show(plan)
    else:
        _carry_out(plan, display, target)


def _settings(
    out: str | None, limit: int | None, assignments: tuple[str, ...]
) -> dict[str, object]:
    from selfmoe.config.layers import assign

    settings: dict[str, object] = {} if out is None else {"out": out}
    if limit is not None:
        settings["evaluate"] = {"limit": limit}
    for assignment in assignments:
        assign(settings, assignment)
    return settings


def _question(
    run: Path | None,
    base: str | None,
    seeds: str | None,
    only: str | None,
    settings: dict[str, object],
) -> ClaimsQuestion:
    from selfmoe.api.claims.question import ClaimsQuestion
    from selfmoe.cli.run import parse_seeds

    named = options.listed(only)
    return ClaimsQuestion(
        run=run,
        base=base,
        seeds=None if seeds is None else tuple(parse_seeds(seeds)),
        only=None if named is None else tuple(named),
        settings=settings,
    )


def _show(plan: ClaimsPlan) -> None:
    from selfmoe.cli.plan_table import print_tasks
    from selfmoe.pipeline.forecast import rates_of
    from selfmoe.reporting.terminal.progress import output

    for claim in plan.claims:
        if claim.id in plan.untestable:
            line = f"Not testable: {claim.id}: {plan.untestable[claim.id]}."
            output().print(line, markup=False, soft_wrap=True)
    title = f"Plan of {len(plan.tested)} claims in {plan.directory.root}"
    print_tasks(title, plan.tasks, rates_of(plan.base, plan.directory.root))


def _carry_out(plan: ClaimsPlan, display: object, target: Path | None) -> None:
    from selfmoe.api.claims.claims import carry_out
    from selfmoe.cli.plan_table import say_todo
    from selfmoe.reporting.claims.tables import print_claims
    from selfmoe.reporting.terminal.progress import Display, output

    assert isinstance(display, Display)
    say_todo(f"Testing {len(plan.tested)} claims", plan.tasks, display)
    made = carry_out(plan, display)
    if target is not None:
        made.results.write(target)
    console = output()
    print_claims(made.results, console)
    where = f"Results: {made.directory.results}   Page: {made.directory.page}"
    console.print(where, markup=False, soft_wrap=True)
    made.outcome.raise_failures()
