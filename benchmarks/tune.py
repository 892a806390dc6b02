"""Choose how experts are trained on the split dev: `benchmarks/tune.py FILE --out RUN --json FILE`.

Each variant of the trainer's options is a run in the same directory, on the same data. Of every one
the experts at home and the merge of the file are scored, on the same items; differences to the
first variant are paired by item. What has been made is not made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import yaml

import selfmoe
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.names import EvaluationName
from selfmoe.contracts.records import System
from selfmoe.reporting.paired import compare
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import read_jsonl, write_json

Json = dict[str, Any]
Items = Mapping[str, Mapping[str, float]]
"""Item -> its ``score``, in 0..1."""
Scores = Mapping[str, Mapping[str, Items]]
"""System -> benchmark -> items; the experts together are ``home``."""
HOME = "home"
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("settings", type=PATH)
@click.option("--out", type=PATH, required=True, help="Run directory of all variants.")
@click.option("--json", "target", type=PATH, help="Write JSON there, after every variant.")
def command(settings: Path, out: Path, target: Path | None) -> None:
    """Score every variant in the file SETTINGS on dev."""
    asked = yaml.safe_load(settings.read_text("utf-8"))
    found: list[tuple[Json, Scores]] = []
    for options in asked["variants"]:
        try:
            run = selfmoe.run(_settings(asked, options, out))
        except SelfmoeError as error:
            raise click.ClickException(str(error)) from None
        found.append((options, scores_of(run.path)))
        rows = [_row(one, scores, found[0][1]) for one, scores in found]
        click.echo(_line(rows[-1]))
        if target is not None:
            facts = {"command": f"benchmarks/tune.py {settings.name}", "run": asked["run"]}
            write_json(target, {**facts, "variants": rows})


def _settings(asked: Json, options: Json, out: Path) -> Json:
    return {**asked["run"], "specialise": {"options": options}, "out": str(out)}


def scores_of(run: Path) -> Scores:
    """Return the scores of every item: of the experts on their own domains, and of the merges."""
    manifest = RunDirectory(run).manifest()
    (seed,) = manifest.seeds
    found: dict[str, dict[str, Items]] = {HOME: {}}
    for name, cell in manifest.named(seed).items():
        if name.stage != "evaluate":
            continue
        asked = EvaluationName.parse(name.label)
        system = manifest.system(asked.system)
        rows = read_jsonl(run / cell.path / f"{asked.benchmark.stem}.samples.jsonl")
        scores = {row["id"]: {"score": float(row["score"])} for row in rows}
        if system is not None and system.kind == "merge":
            found.setdefault(system.name, {})[str(asked.benchmark)] = scores
        elif system == System.of_expert(asked.benchmark.domain):
            found[HOME][str(asked.benchmark)] = scores
    return found


def _row(options: Json, scores: Scores, first: Scores) -> Json:
    systems = {
        name: {
            "average": round(fmean(map(_mean, by.values())), 4),
            "scores": {benchmark: round(_mean(items), 4) for benchmark, items in by.items()},
            "more": _more(by, first[name]),
        }
        for name, by in scores.items()
    }
    items = min(map(len, scores[HOME].values()))
    return {"options": options, "items": items, "systems": systems}


def _mean(items: Items) -> float:
    return fmean(values["score"] for values in items.values())


def _more(mine: Mapping[str, Items], other: Mapping[str, Items]) -> Json | None:
    found = compare([{"mine": mine, "other": other}], "mine", "other", "score", 0.95)
    return None if found is None else found.to_json()


def _line(row: Json) -> str:
    options = ", ".join(f"{key} {value}" for key, value in row["options"].items())
    parts = [
        f"{name} {one['average']:.1%} ({_told(one['more'])})"
        for name, one in row["systems"].items()
    ]
    return f"{options}: {'; '.join(parts)}"


def _told(more: Json | None) -> str:
    return "not paired" if more is None else f"{more['difference']:+.1%}"


if __name__ == "__main__":
    command()
