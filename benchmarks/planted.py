"""Claims whose truth is known, on a run's answers: `benchmarks/planted.py RUN --json FILE`.

RUN must have the answers that `selfmoe claims RUN --only table1,table2,review` asks for, on the
mini track. The claims are those of `plants`; nothing is generated, only kept answers are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from rich.table import Table

from plants import FALSE, TRUE, Answered, repeated, verdicts
from selfmoe import __version__
from selfmoe.api.claims.paper import CLAIMS
from selfmoe.api.claims.systems import Cast, Part
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError, SelfmoeError
from selfmoe.contracts.names import BenchmarkName, EvaluationName
from selfmoe.contracts.records import System
from selfmoe.evaluation.benchmarks import benchmarks_of
from selfmoe.evaluation.contrasts import Contrast
from selfmoe.evaluation.verdicts import corrected
from selfmoe.reporting.numbers import percent
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.beside import ClaimsDirectory
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import read_jsonl, write_json

TIMES = 20
"""Repetitions of every claim."""

Json = dict[str, Any]
Row = dict[str, Any]
Rows = dict[str, dict[str, dict[str, Row]]]
"""System -> benchmark -> item -> sample."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--times", default=TIMES, help="Repetitions of every claim.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write JSON there.")
def command(run: Path, times: int, target: Path | None) -> None:
    """Say what is made of planted claims on what systems answered in RUN."""
    try:
        result = measure(read(run), times)
        if target is not None:
            write_json(target, result)
    except SelfmoeError as error:
        raise click.ClickException(str(error)) from None
    _print(result)


def measure(found: Answered, times: int = TIMES, claims: int = len(CLAIMS)) -> Json:
    """Return what is said of every planted claim, at the level of that many claims."""
    level = corrected(0.95, claims)
    plants = {**FALSE, **{name: plant for name, (plant, _) in TRUE.items()}}
    rows = [
        _row(name, name in TRUE, repeated(found, plant, level, times), level)
        for name, plant in plants.items()
    ]
    return {
        "format": 1,
        "selfmoe": __version__,
        "seeds": len(found.seeds),
        "items": sum(map(len, found.seeds[0]["base"].values())),
        "times": times,
        "level": level,
        "claims": rows,
    }


def _row(name: str, true: bool, contrasts: list[Contrast], level: float) -> Json:
    """Return a claim's verdicts; its true effect is taken to be the mean over all repetitions."""
    said, effect = verdicts(contrasts, level), fmean(one.difference for one in contrasts)
    visible = [one.smallest is not None and abs(effect) > one.smallest for one in contrasts]
    wrong = [v for v, seen in zip(said, visible, strict=True) if seen and effect < 0]
    return {
        "claim": name,
        "true": true,
        "effect": effect,
        "smallest": fmean(1.0 if one.smallest is None else one.smallest for one in contrasts),
        "visible": sum(visible),
        "verdicts": dict(Counter(said)),
        "missed": sum(v != "fails" for v in wrong),
        "asked": TRUE[name][1] if true else None,
    }


def read(run: Path) -> Answered:
    """Return the kept answers of a run and of its claims.

    Raises:
        RunError: If some are not there.
    """
    config = resolve(RunDirectory(run).manifest().config, str(run))
    systems = _systems(config)
    seeds = [_samples(run, str(root), systems) for root in config.root_seeds]
    scores = [
        {system: {name: _scores(rows) for name, rows in of.items()} for system, of in seed.items()}
        for seed in seeds
    ]
    return Answered(scores, _marker(config, seeds))


def _systems(config: RunConfig) -> dict[str, str]:
    """Return what each role is called in the run."""
    cast = Cast(config)
    parts = {name: cast.of(name) for name in ("base", "mixture", "oracle", "random")}
    known = {role: part.system.name for role, part in parts.items() if isinstance(part, Part)}
    names = [System.of_expert(name).name for name in config.domains or []]
    experts = dict(zip(names, names, strict=True))
    return known | experts | {"shown": f"base-{config.evaluate.base_shots}shot"}


def _scores(rows: dict[str, Row]) -> dict[str, float]:
    return {item: float(row["score"]) for item, row in rows.items()}


def _samples(run: Path, seed: str, systems: dict[str, str]) -> Rows:
    manifests = [RunDirectory(run).manifest(), ClaimsDirectory(run).manifest()]
    cells = {name: cell for m in manifests for name, cell in m.named(seed).items()}
    found: Rows = {role: {} for role in systems}
    for name, cell in cells.items():
        if name.stage == "evaluate":
            asked = EvaluationName.parse(name.label)
            for role in (role for role, system in systems.items() if system == asked.system):
                path = run / cell.path / f"{asked.benchmark.stem}.samples.jsonl"
                found[role][str(asked.benchmark)] = {row["id"]: row for row in read_jsonl(path)}
    lacking = [role for role, of in found.items() if of.keys() != found["base"].keys() or not of]
    if lacking:
        raise RunError(f"{run}: root seed {seed} has no answers of: {', '.join(lacking)}")
    return found


def _marker(
    config: RunConfig, seeds: list[Rows]
) -> Callable[[int, str, str, str, str], float | None]:
    """Return what holds an answer against the gold of another item; no program is run for it."""
    known = {
        str(BenchmarkName(name, one.name)): one
        for name in config.domains or []
        for one in benchmarks_of(config.registry.configure("domain", name), config.source)
    }

    @cache
    def docs(name: str) -> dict[str, Any]:
        return {str(doc["id"]): doc for doc in known[name].items}

    def mark(place: int, system: str, name: str, item: str, other: str) -> float | None:
        if known[name].needs_sandbox:
            return None
        answer = seeds[place][system][name][item]["completion"]
        return float(known[name].score(docs(name)[other], answer)["score"])

    return mark


def _print(result: Json) -> None:
    table = Table(title="Planted claims", title_justify="left")
    for name in ("claim", "true", "effect", "visible", "holds", "fails", "undecided", "missed"):
        table.add_column(name, justify="left" if name == "claim" else "right")
    for row in result["claims"]:
        said = [str(row["verdicts"].get(v, 0)) for v in ("holds", "fails", "undecided")]
        points = [percent(row["effect"]), percent(row["smallest"])]
        table.add_row(row["claim"], "yes" if row["true"] else "no", *points, *said,
                      str(row["missed"]))  # fmt: skip
    output().print(table)


if __name__ == "__main__":
    command()
