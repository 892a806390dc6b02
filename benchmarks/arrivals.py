"""What an expert costs as the last of many, and of few: `benchmarks/arrivals.py RUN.yaml`.

RUN.yaml holds settings with many domains. Two runs are made, one with the first `--few` of them,
one with all but the last. Then the last one is added to a copy of each, in turns: it has the same
data and the same expert in both. Its cells are those of its data, its expert and the compositions
that it joins; the whole addition plans, evaluates one item and writes the report besides.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click

import selfmoe
from selfmoe.api.expert_settings import grown
from selfmoe.api.run import complete, from_yaml
from selfmoe.pipeline.versions import versions
from selfmoe.store.costs import costs_of
from selfmoe.store.files import write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
MEASURES = ("cells", "whole")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--few", default=4, show_default=True, help="Experts of the smaller run.")
@click.option("--rounds", default=5, show_default=True, help="Additions to each run.")
@click.option("--json", "target", type=PATH, help="Write JSON there.")
def command(file: Path, few: int, rounds: int, target: Path | None) -> None:
    """Add the last domain of FILE to runs with few and with all the others."""
    raw = from_yaml(file)
    *names, last = raw["domains"]
    with tempfile.TemporaryDirectory() as place:
        runs = {n: Path(place, f"{n}") for n in (few, len(names))}
        for n, out in runs.items():
            selfmoe.run(complete(settings(raw, names[:n], out)))
        found: dict[int, list[Json]] = {n + 1: [] for n in runs}
        for number in range(rounds):
            for n, run in runs.items():
                found[n + 1].append(added(raw, [*names[:n], last], run, Path(place, f"c{number}")))
                click.echo(f"{last} as expert {n + 1}: {found[n + 1][-1]}")
    told = compared(*found.values())
    click.echo(f"{last}: " + ", ".join(f"{m} {told[m]['ratio']:.2f}" for m in MEASURES))
    if target is not None:
        facts = {"command": f"benchmarks/arrivals.py {file.name}", "processor": processor()}
        sizes = {"expert": last, "of": list(found)}
        write_json(target, {**facts, "versions": versions(), **sizes, **told})


def settings(raw: Mapping[str, Any], names: Sequence[str], out: Path) -> Json:
    """Return the settings of a run with these domains, of which one item is evaluated."""
    asked = {"limit": 1, "base_shots": 0, "benchmarks": [f"{names[0]}/mini"]}
    defined = {name: one for name, one in raw.get("define", {}).items() if name in names}
    changed = {"domains": list(names), "define": defined, "evaluate": asked, "out": str(out)}
    return {**raw, **changed}


def added(raw: Mapping[str, Any], names: Sequence[str], run: Path, copy: Path) -> Json:
    """Return the seconds that an expert takes to join a copy of a run: its cells, and in all."""
    shutil.copytree(run, copy)
    *_, last = names
    wanted = settings(raw, names, copy)
    before, start = cells(copy), time.monotonic()
    selfmoe.run(complete(grown(wanted, last, list(wanted["compose"]), "extend")))
    whole = time.monotonic() - start
    found = {"cells": round(cells(copy) - before, 3), "whole": round(whole, 3)}
    shutil.rmtree(copy)
    return found


def cells(run: Path) -> float:
    """Return the seconds that the cells of a run took, evaluations left out."""
    costs = costs_of(run).items()
    return sum(cost.seconds for name, one in costs if name.stage != "evaluate" for cost in one)


def compared(few: Sequence[Json], many: Sequence[Json]) -> Json:
    """Return each measure of both, round by round, and the median of the rounds' ratios."""
    found: Json = {}
    for measure in MEASURES:
        pairs = [(one[measure], other[measure]) for one, other in zip(few, many, strict=True)]
        ratios = [round(many / few, 3) for few, many in pairs]
        found[measure] = {"seconds": pairs, "ratios": ratios, "ratio": median(ratios)}
    return found


if __name__ == "__main__":
    command()
