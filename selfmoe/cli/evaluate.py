"""``selfmoe evaluate``: benchmarks of a base and of adapters, without a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import names, words
from selfmoe.cli.run import warn_of_broken
from selfmoe.contracts.errors import ConfigError, counted

if TYPE_CHECKING:
    from selfmoe.api.evaluation.plan import EvaluationPlan

_OF_STAGE = ("benchmarks", "base_shots", "limit", "split")
"""Options that are settings of the section ``evaluate``."""


@click.command()
@click.argument("base", required=False, shell_complete=names("base"))
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=FOLDER",
    help="PEFT LoRA folder to score beside the base; a folder alone gives the name. Repeatable.",
)
@click.option(
    "--benchmarks", help="Comma-separated ids, such as math/gsm8k; default: as a run asks."
)
@click.option(
    "--shots",
    "base_shots",
    type=int,
    metavar="N",
    help="Also ask with N solved examples, where a benchmark prescribes none; default: 0.",
)
@click.option("--limit", type=int, help="Items a benchmark; default: as the preset says.")
@click.option(
    "--split",
    shell_complete=words("dev", "test"),
    help="dev for tuning, test to publish; default: test.",
)
@options.placed
@options.track
@options.data_dir
@click.option("--out", help="Folder of the results; default: evaluations/<base>.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting, such as evaluate.batch_size.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    base: str | None,
    adapters: tuple[str, ...],
    assignments: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Score BASE, and adapters on it, on benchmarks, without a run.

    BASE is a base plugin, the folder of a model, a GGUF file, or a hub id. Nothing is trained and
    no seeds are drawn. What is done already is not done again: the same command goes on where it
    was stopped. Without BASE, what lies in --out goes on. Every answer is kept: explain-score shows
    it.

    \b
    Examples:
      selfmoe evaluate seedling --limit 50
      selfmoe evaluate ./my-model --adapter math=adapters/math --shots 5
      selfmoe evaluate Qwen/Qwen3-0.6B-Base --track benchmark --benchmarks reasoning/piqa
      selfmoe evaluate ./my-model --set evaluate.batch_size=8 --out evaluations/mine --json
    """
    from selfmoe.api.evaluation.plan import plan_evaluation

    plan = plan_evaluation(raw_settings(base, adapters, assignments, flags))
    warn_of_broken(plan.config)
    if dry_run:
        _show(plan)
    else:
        _carry_out(plan, as_json)


def raw_settings(
    base: str | None, adapters: tuple[str, ...], assignments: tuple[str, ...], flags: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings a command line asks for, as nested plain data.

    Raises:
        ConfigError: If an option is malformed, or no base is named and there is none to go on with.
    """
    from selfmoe.api.evaluation.adapters import named
    from selfmoe.api.evaluation.settings import recorded
    from selfmoe.config.layers import assign, merge

    if base is None and flags["out"] is None:
        raise ConfigError("no base is named\n  Name one: selfmoe evaluate BASE")
    raw: dict[str, Any] = recorded(flags["out"]) if base is None else {"base": base}
    if flags["benchmarks"] is not None:
        words = flags["benchmarks"].split(",")
        flags["benchmarks"] = [word.strip() for word in words if word.strip()]
    given = {key: value for key, value in flags.items() if value is not None}
    stage = {key: given.pop(key) for key in _OF_STAGE if key in given}
    raw = merge(raw, given, {"evaluate": stage})
    if adapters:
        raw["adapters"] = named(adapters)
    for assignment in assignments:
        assign(raw, assignment)
    return raw


def _show(plan: EvaluationPlan) -> None:
    from selfmoe.cli.plan_table import print_tasks
    from selfmoe.pipeline.forecast import rates_of

    for line in _about(plan):
        click.echo(line)
    root = plan.directory.root
    print_tasks(f"Plan of an evaluation in {root}", plan.tasks, rates_of(plan.base, root))


def _about(plan: EvaluationPlan) -> Iterator[str]:
    """Yield what an evaluation amounts to: systems, place, benchmarks."""
    from selfmoe.cli.plan_table import asked_in, place

    asked = sum(len(choice.asked) for choice in plan.first.choices.values())
    limit = plan.config.evaluate.limit or "all"
    yield f"Base {plan.base.name}: {', '.join(plan.systems)}"
    yield f"  {place(plan)}"
    yield f"  {asked_in(plan)}"
    yield from (f"  Note: {note}." for note in plan.base.notes)
    yield f"  track {plan.config.track}: {counted(asked, 'benchmark')}, {limit} items of each"


def _carry_out(plan: EvaluationPlan, as_json: bool) -> None:
    import json

    from selfmoe.api.evaluation.evaluate import carry_out
    from selfmoe.reporting.evaluation import print_evaluation
    from selfmoe.reporting.terminal.progress import Display, output

    display = Display()
    missing = sum(task.problem() is not None for task in plan.tasks)
    if missing:
        for line in [*_about(plan), f"  {counted(missing, 'cell')} to do"]:
            display.say(line)
    else:
        display.say(f"Nothing to do: all {len(plan.tasks)} cells are there.")
    made, outcome = carry_out(plan, display)
    if as_json:
        click.echo(json.dumps(made.results.to_json(), indent=1))
    else:
        print_evaluation(made.results, made.path, output())
    outcome.raise_failures()
