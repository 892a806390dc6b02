"""Share of right answers in what a run taught itself: `benchmarks/label_noise.py RUN --json FILE`.

For every domain and root seed of a run on the mini track: how many brainstormed texts parse and
are no copies of seeds, how many tasks make sense, and how many of their answers are right, before
and after curation. The truth is worked out from each task's text (see `readers`), not taken from
the model or the run. Generated programs run in the sandbox.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from label_run import STAGES, Counts, Json, cells, counted, settings
from selfmoe import __version__
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.files import write_json

_COLUMNS = (
    "seed", "domain", "texts", "new", "tasks", "sense", "right", "strict", "examples", "sense",
    "right", "strict",
)  # fmt: skip
_LEGEND = (
    "Shares in %, with 95 % Wilson intervals over items: new texts parse and are no copies of "
    "seeds; of tasks, and after curation of examples, some make sense; of these the answer is right"
    " in any form, or strictly in the prescribed one."
)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write JSON there.")
def command(run: Path, target: Path | None) -> None:
    """Measure how much of the data is right that RUN, on the mini track, has made for itself.

    RUN must have got through the stage curate.
    """
    try:
        result = {"command": _command(run, target), **measure(run)}
        if target is not None:
            write_json(target, result)
    except SelfmoeError as error:
        raise click.ClickException(str(error)) from None
    _print(result)


def measure(run: Path) -> Json:
    """Return everything that is measured of a run, with where it comes from.

    Raises:
        SelfmoeError: If the folder holds no run of the mini track with a curated domain.
    """
    config = settings(run)
    counts = counted(run)
    domains = sorted({domain for _, domain in counts})
    pooled = {d: sum((c for (_, n), c in counts.items() if n == d), Counts()) for d in domains}
    found = cells(run)
    return {
        "format": 1,
        "selfmoe": __version__,
        "run": {
            "base": _short(str(config["base"])),
            "preset": config["preset"],
            "settings": {stage: config[stage] for stage in STAGES},
            "cells": {f"{seed}/{name}": list(of.values()) for (seed, name), of in found.items()},
        },
        "interval": "items, Wilson",
        "confidence": 0.95,
        "not_read": sorted({domain for _, domain in found} - set(domains)),
        "rows": [{"seed": s, "domain": d, **c.to_json()} for (s, d), c in counts.items()],
        "domains": {domain: c.to_json() for domain, c in pooled.items()},
        "all": sum(pooled.values(), Counts()).to_json(),
    }


def _command(run: Path, target: Path | None) -> str:
    asked = [_short(str(run)), *(["--json", _short(str(target))] if target else [])]
    return f"python benchmarks/label_noise.py {' '.join(asked)}"


def _short(name: str) -> str:
    """Return a name as it is, or the last part of an absolute path."""
    return Path(name).name if Path(name).is_absolute() else name


def _print(result: Json) -> None:
    """Print one row a domain and root seed, then what was dropped and what was not read."""
    console = output()
    table = Table(title="Labels of the self-generated data", title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("seed", "domain") else "right")
    for row in result["rows"]:
        table.add_row(str(row["seed"]), row["domain"], *_row(row))
    table.add_section()
    several = len({row["seed"] for row in result["rows"]}) > 1
    for domain, row in result["domains"].items() if several else ():
        table.add_row("all", domain, *_row(row))
    table.add_row("all", "all", *_row(result["all"]))
    console.print(table)
    for line in [_LEGEND, *_lines(result)]:
        console.print(line, markup=False, soft_wrap=True)


def _row(row: Json) -> list[str]:
    cells = [str(row["written"]), _percent(row["new"])]
    for data in (row["before"], row["after"]):
        right = data["right"]
        interval = f" [{100 * right['low']:.0f}, {100 * right['high']:.0f}]"
        cells += [str(data["tasks"]), _percent(data["sensible"])]
        cells += [_percent(right) + (interval if right["of"] else "")]
        cells += [_percent(data["right_strict"])]
    return cells


def _percent(share: Json) -> str:
    return "–" if share["share"] is None else f"{100 * share['share']:.0f}"


def _lines(result: Json) -> list[str]:
    """Return what the table has no room for, by domain, and the domains left out."""
    lines = []
    for domain, row in result["domains"].items():
        before = row["before"]
        dropped = [f"{stage} {_reasons(why)}" for stage, why in row["dropped"].items()]
        lines.append(
            f"{domain}: dropped by {'; by '.join(dropped)}; of sensible tasks curation lost "
            f"{row['lost_right']} with a right answer and {row['lost_wrong']} with a wrong one"
        )
        if before["spoilt"]:
            lines.append(
                f"  {before['spoilt']} tasks exclude their right answer by their own example or "
                f"options; {before['spoilt_right']} of these are answered right all the same"
            )
    if result["not_read"]:
        left_out = ", ".join(result["not_read"])
        lines.append(f"Not counted, for lack of a reader or of curated data: {left_out}")
    return lines


def _reasons(counts: Json) -> str:
    return ", ".join(f"{n} {why}" for why, n in sorted(counts.items())) or "nothing"


if __name__ == "__main__":
    command()
