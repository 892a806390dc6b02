"""``selfmoe run``: the whole pipeline in one command."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import keys, names, presets
from selfmoe.contracts.errors import ConfigError, StageError

if TYPE_CHECKING:
    from selfmoe.config.model import RunConfig
    from selfmoe.pipeline.run_plan import RunPlan

MOST_SEEDS = 1000
"""Root seeds that a range may stand for."""


@click.command()
@click.argument("config", required=False, type=options.PATH)
@click.option(
    "--base",
    shell_complete=names("base"),
    help="Base plugin, model folder, GGUF file, or hub id: owner/model, owner/model@revision or "
    "owner/model:file.gguf.",
)
@options.placed
@click.option("--domains", shell_complete=names("domain"), help="Comma-separated domains.")
@options.track
@options.data_dir
@click.option("--out", help="Run directory; default: runs/<preset>.")
@click.option("--seed", type=int, help="Root seed; default: 0.")
@click.option("--seeds", help="Several root seeds, the whole pipeline each: 0..4 or 0,3,7.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=keys,
    help="Change a setting.",
)
@click.option(
    "--preset",
    shell_complete=presets,
    help="Budgets: demo (minutes), paper (the paper's recipe), or one of the base's own.",
)
@click.option(
    "--generate",
    shell_complete=names("backend"),
    help="Backend that writes with the plain base, such as openai; default: this process.",
)
@click.option("--base-url", help="Where the backend is, such as http://127.0.0.1:8000/v1.")
@click.option("--model", help="What the backend calls the base.")
@click.option(
    "--executor",
    shell_complete=names("executor"),
    help="Who does the work: local, this machine, or one that is installed, such as ray.",
)
@click.option("--workers", type=int, help="Units of work done at once; default: the executor's.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option(
    "--rates",
    type=options.PATH,
    multiple=True,
    help="With --dry-run: a run of the same base, whose cells say what such cells take; two of "
    "different size tell it better.",
)
def command(
    config: Path | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    rates: tuple[Path, ...],
    seeds: str | None,
    **flags: Any,
) -> None:
    """Take a base model from seeds to an evaluated mixture of experts.

    What is done already is not done again: run the same command to resume, change a setting to
    redo only what depends on it. Settings come from CONFIG (YAML), then options, then --set.

    \b
    Examples:
      selfmoe run
      selfmoe run --domains math,coding --set brainstorm.n=500 --dry-run
      selfmoe run --preset paper --out runs/paper --dry-run --rates runs/demo
      selfmoe run --base ./my-model --preset paper --track benchmark --data-dir data
      selfmoe run --base Qwen/Qwen3-0.6B-Base --device cuda --dtype bfloat16
      selfmoe run --generate openai --base-url http://127.0.0.1:8000/v1 --model seedling
      selfmoe run --workers 4
    """
    from selfmoe.config.resolve import resolve
    from selfmoe.pipeline.make import make_plans
    from selfmoe.pipeline.ranks import leads

    if rates and not dry_run:
        raise ConfigError("--rates says what a run will take; give --dry-run with it")
    complete = resolve(raw_settings(config, assignments, seeds, flags), str(config or "settings"))
    if not leads():
        _follow(complete, dry_run)
        return
    plans = make_plans(complete)
    warn_of_broken(complete)
    if dry_run:
        from selfmoe.cli.plan_table import print_plans
        from selfmoe.pipeline.forecast import rates_of

        print_plans(plans, rates_of(plans.base, plans.directory.root, rates))
        return
    _execute(plans)


def _follow(complete: RunConfig, dry_run: bool) -> None:
    """Fit with the first process, which says what there is to say."""
    from rich.console import Console

    from selfmoe.api.run import run_plans
    from selfmoe.pipeline.make import make_plans
    from selfmoe.reporting.terminal.progress import Display

    with contextlib.suppress(StageError, ConfigError):  # the first process says it
        plans = make_plans(complete)
        if not dry_run:
            run_plans(plans, Display(Console(quiet=True)))


def warn_of_broken(complete: RunConfig) -> None:
    """Say which plugins a command has to do without."""
    from selfmoe.reporting.terminal.progress import Display

    for plugin in complete.registry.plugins:
        if not plugin.ok:
            Display().warn(f"plugin {plugin.name} is left out, it is broken: {plugin.reason}")


def _execute(plans: RunPlan) -> None:
    from selfmoe.api.run import run_plans
    from selfmoe.cli.plan_table import print_budget
    from selfmoe.reporting.terminal.progress import Display, output
    from selfmoe.reporting.terminal.tables import print_results

    display = Display()
    cells = {task.cell: task for task in plans.tasks}
    missing = sum(task.problem() is not None for task in cells.values())
    if missing:
        print_budget(plans, missing, display)
    run, outcome = run_plans(plans, display)
    if not missing:
        display.say(f"Nothing to do: all {len(cells)} cells are there.")
    console = output()
    print_results(run.results, console)
    report = run.path / "report" / "index.html"
    console.print(f"Run: {run.path}   Report: {report}", markup=False, soft_wrap=True)
    outcome.raise_failures()


def raw_settings(
    config: Path | None, assignments: tuple[str, ...], seeds: str | None, flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings a command line asks for, as nested plain data.

    Raises:
        ConfigError: If an option or the file is malformed, or ``--seed`` and ``--seeds`` are given.
    """
    from selfmoe.api.run import from_yaml
    from selfmoe.config.layers import assign, merge

    raw = from_yaml(config) if config else {}
    flags = dict(flags)
    raw = merge(raw, _section(flags, "generate", "backend", "generate", ("base_url", "model")))
    raw = merge(raw, _section(flags, "execute", "executor", "executor", ("workers",)))
    if flags["seed"] is not None and seeds is not None:
        raise ConfigError("give --seed or --seeds, not both")
    if seeds is not None:
        flags["seed"] = parse_seeds(seeds)
    if flags["domains"] is not None:
        flags["domains"] = options.listed(flags["domains"])
    raw |= {key: value for key, value in flags.items() if value is not None}
    for assignment in assignments:
        assign(raw, assignment)
    return raw


def _section(
    flags: dict[str, Any], section: str, key: str, flag: str, options: Sequence[str]
) -> dict[str, Any]:
    """Take the flags on a component out of all; return the settings that they ask for.

    Args:
        flags: All flags; those that are taken are gone.
        section: Where the settings are.
        key: What names the component there.
        flag: The flag that does.
        options: Flags that are options of the component.
    """
    given = {name: flags.pop(name, None) for name in options}
    asked = {
        key: flags.pop(flag, None),
        "options": {name: value for name, value in given.items() if value is not None},
    }
    asked = {name: value for name, value in asked.items() if value}
    return {section: asked} if asked else {}


def parse_seeds(text: str) -> list[int]:
    """Return the numbers that ``0..4`` or ``0,3,7`` stand for.

    Raises:
        ConfigError: If it is neither.
    """
    span = re.fullmatch(r"(\d+)\.\.(\d+)", text.strip())
    if span:
        first, last = int(span[1]), int(span[2])
        if first > last:
            raise ConfigError(f"--seeds {text}: counts down; write {last}..{first}")
        if last - first >= MOST_SEEDS:
            raise ConfigError(
                f"--seeds {text}: {last - first + 1} root seeds; at the most {MOST_SEEDS} at a time"
            )
        return list(range(first, last + 1))
    if re.fullmatch(r"\d+(\s*,\s*\d+)*", text.strip()):
        return [int(part) for part in text.split(",")]
    raise ConfigError(
        f"--seeds {text}: expected a range such as 0..4 or a list such as 0,3,7, of whole numbers "
        "from 0"
    )
