"""Whether a dry run says what a run takes: `benchmarks/forecasts.py RUN.yaml --small KEY=N,… …`.

The settings of RUN.yaml are made in smaller sizes first, each `--small` one of them. What those
took says what the whole will take, as `selfmoe run --dry-run --rates` does; then the whole is made
and compared with it: time, tokens and room on disk, stage by stage.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from keeping import beside_others
from selfmoe.api.run import complete, from_yaml, run
from selfmoe.config.layers import assign
from selfmoe.config.model import RunConfig
from selfmoe.pipeline.forecast import Forecast, rates_of
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.versions import versions
from selfmoe.store.costs import costs_of
from selfmoe.store.files import write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
MEASURES = ("seconds", "tokens", "bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--small", "sizes", multiple=True, required=True, help="Settings, by commas.")
@click.option("--base", help="Another base than the file names.")
@click.option("--name", help="What the run is called in results; default: as the file.")
@click.option("--work", type=PATH, help="Keep the runs there; what is there is not made again.")
@click.option("--json", "target", type=PATH, help="Write JSON there; what others made is kept.")
def command(
    file: Path,
    sizes: Sequence[str],
    base: str | None,
    name: str | None,
    work: Path | None,
    target: Path | None,
) -> None:
    """Foretell the run of FILE from smaller ones, make it, and compare."""
    name = name or file.stem
    with tempfile.TemporaryDirectory() as place:
        folder = work or Path(place)
        smaller = [folder / f"{name}-{number}" for number in range(len(sizes))]
        for path, size in zip(smaller, sizes, strict=True):
            run(settings(file, base, path, size.split(",")))
        plans = make_plans(settings(file, base, folder / name, ()))
        told = foretold(plans, smaller)
        run(plans.config)
        found = {"name": name, "small": list(sizes), **compared(told, taken(plans))}
    click.echo(line(found))
    if target is not None:
        keep(found, target)


def settings(file: Path, base: str | None, out: Path, changes: Sequence[str]) -> RunConfig:
    """Return the settings of a file with some of them changed."""
    raw = from_yaml(file) | {"out": str(out)} | ({"base": base} if base else {})
    for change in changes:
        assign(raw, change)
    return complete(raw)


def foretold(plans: RunPlan, smaller: Sequence[Path]) -> Mapping[str, Json]:
    """Return what each stage is said to take, by what smaller runs took."""
    rates = rates_of(plans.base, plans.directory.root, smaller)
    cells = {task.cell: task.stage for task in plans.tasks}
    found: dict[str, Json] = {}
    for cell, told in rates.forecast(plans.tasks).items():
        assert isinstance(told, Forecast), f"nothing is known of {cell.path.name}"
        _add(found, cells[cell], told.seconds, sum(told.tokens), told.bytes)
    return found


def taken(plans: RunPlan) -> Mapping[str, Json]:
    """Return what each stage took."""
    found: dict[str, Json] = {}
    for name, costs in costs_of(plans.directory.root).items():
        for cost in costs:
            _add(found, name.stage, cost.seconds, sum(cost.tokens), cost.bytes)
    return found


def _add(found: dict[str, Json], stage: str, *values: float) -> None:
    row = found.setdefault(stage, dict.fromkeys(MEASURES, 0.0))
    for measure, value in zip(MEASURES, values, strict=True):
        row[measure] += value


def compared(told: Mapping[str, Json], took: Mapping[str, Json]) -> Json:
    """Return both side by side, by stage and in all."""
    assert told.keys() == took.keys()
    stages = {
        stage: {m: [round(told[stage][m], 2), round(took[stage][m], 2)] for m in MEASURES}
        for stage in took
    }
    whole = {m: [sum(row[m][i] for row in stages.values()) for i in (0, 1)] for m in MEASURES}
    ratios = {m: round(whole[m][0] / whole[m][1], 3) for m in MEASURES}
    return {"stages": stages, "whole": whole, "ratios": ratios}


def line(found: Json) -> str:
    """Return the same in words."""
    told, took = found["whole"]["seconds"]
    ratios = ", ".join(f"{measure} {ratio:.2f}" for measure, ratio in found["ratios"].items())
    return f"{found['name']}: {told:.0f} s foretold, {took:.0f} s taken; ratios: {ratios}"


def keep(found: Json, target: Path) -> None:
    """Write what was found of one run to a file, beside what that holds of others."""
    facts = {"command": "benchmarks/forecasts.py", "processor": processor(), "versions": versions()}
    write_json(target, {**facts, "runs": beside_others(found, target, "runs", "name")})


if __name__ == "__main__":
    command()
