"""Compare ways to train experts: `benchmarks/tune.py FILE --out RUN --json FILE`.

Each variant is a section `specialise` of the settings, run in the same directory on the same data.
Of every one are scored: the experts at home, the experts away from home, and the merges of the
file, all on the same items; differences to the first variant are paired by item. What has been made
is not made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import yaml

import selfmoe
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import System
from selfmoe.reporting.paired import compare
from selfmoe.store.cells import Cells
from selfmoe.store.files import read_jsonl, write_json

Json = dict[str, Any]
Items = Mapping[str, Mapping[str, float]]
"""Item -> its ``score``, in 0..1."""
Scores = Mapping[str, Mapping[str, Items]]
"""System -> benchmark -> items, of one root seed; experts are ``home`` and ``away``."""
HOME, AWAY = "home", "away"
CONFIDENCE = 0.95
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("settings", type=PATH)
@click.option("--out", type=PATH, required=True, help="Run directory of all variants.")
@click.option("--json", "target", type=PATH, help="Write JSON there, after every variant.")
def command(settings: Path, out: Path, target: Path | None) -> None:
    """Score every variant in the file SETTINGS."""
    asked = yaml.safe_load(settings.read_text("utf-8"))
    rows: list[Json] = []
    first: Sequence[Scores] = []
    for variant in asked["variants"]:
        try:
            run = selfmoe.run({**asked["run"], "specialise": variant, "out": str(out)})
        except SelfmoeError as error:
            raise click.ClickException(str(error)) from None
        cells = Cells(run.path)
        scores = scores_of(cells)
        first = first or scores
        rows.append({"specialise": variant, **row(scores, first), "seconds": seconds(cells)})
        click.echo(told(rows[-1]))
        if target is not None:
            facts = {"command": f"benchmarks/tune.py {settings.name}", "run": asked["run"]}
            write_json(target, {**facts, "variants": rows})


def scores_of(cells: Cells) -> list[Scores]:
    """Return the scores of every item by root seed: of the experts, and of what is composed."""
    kinds = {system.name: system.kind for system in cells.systems}
    return [_scores(cells, seed, kinds) for seed in cells.seeds]


def _scores(cells: Cells, seed: str, kinds: Mapping[str, str]) -> Scores:
    found: dict[str, dict[str, Items]] = {}
    for system, path, about in cells.scores(seed):
        benchmark = about["benchmark"]
        samples = read_jsonl(path.with_suffix(".samples.jsonl"))
        items = {one["id"]: {"score": float(one["score"])} for one in samples}
        if kinds[system] == "expert":
            home = BenchmarkName.parse(benchmark).domain == System(system, "expert").expert
            found.setdefault(HOME if home else AWAY, {})[f"{system} {benchmark}"] = items
        elif kinds[system] != "base":
            found.setdefault(system, {})[benchmark] = items
    return found


def row(seeds: Sequence[Scores], first: Sequence[Scores]) -> Json:
    """Return averages of every system, by benchmark or cell too, and what it has more than first.

    Args:
        seeds: The scores of a variant, by root seed.
        first: Those of the variant to compare it with.
    """
    systems = {
        name: {
            "average": round(fmean(_mean(i) for one in seeds for i in one[name].values()), 4),
            "scores": {b: round(fmean(_mean(one[name][b]) for one in seeds), 4) for b in by},
            "more": _more(seeds, first, name),
        }
        for name, by in seeds[0].items()
    }
    items = min(len(items) for one in seeds for items in one[HOME].values())
    return {"items": items, "seeds": len(seeds), "systems": systems}


def seconds(cells: Cells) -> float:
    """Return the mean time to train an expert, in seconds, beside whatever else the machine did."""
    times = [seal["seconds"] for stage, seal in cells.seals() if stage == "specialise"]
    return round(fmean(times), 1)


def _mean(items: Items) -> float:
    return fmean(values["score"] for values in items.values())


def _more(seeds: Sequence[Scores], first: Sequence[Scores], name: str) -> Json | None:
    pairs = [
        {"this": one[name], "first": other[name]} for one, other in zip(seeds, first, strict=True)
    ]
    found = compare(pairs, "this", "first", "score", CONFIDENCE)
    return None if found is None else found.to_json()


def told(variant: Json) -> str:
    """Return a variant and its averages in one line."""
    section = variant["specialise"]
    options = ", ".join(f"{key} {value}" for key, value in section.get("options", {}).items())
    parts = [f"{name} {_told(system)}" for name, system in variant["systems"].items()]
    return f"{section.get('trainer', 'trainer')} {options}: {'; '.join(parts)}"


def _told(system: Json) -> str:
    more = system["more"]
    change = "" if more is None else f" ({more['difference']:+.1%})"
    return f"{system['average']:.1%}{change}"


if __name__ == "__main__":
    command()
