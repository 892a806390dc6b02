"""Collecting the finished cells of a run into ``report/results.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from selfmoe.contracts.errors import RunError
from selfmoe.contracts.records import System
from selfmoe.evaluation.statistics import confident, wilson
from selfmoe.reporting.model import (
    BenchmarkScore,
    DataYield,
    Paired,
    RunResults,
    Shares,
    SystemScores,
)
from selfmoe.reporting.numbers import whole_mean
from selfmoe.reporting.paired import differences
from selfmoe.store.cells import Cells, Interval, Json, read_json
from selfmoe.store.directory import RunDirectory
from selfmoe.store.record import read_record


class Scored(NamedTuple):
    """What is known of the systems of a run or a comparison; see ``reporting.model.Results``."""

    interval: Interval
    confidence: float
    systems: list[SystemScores]
    paired: Paired | None
    routing: Shares
    routing_response: Shares


class _Average(NamedTuple):
    """A mean of scores with its interval, all in 0..1."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    lenient: float | None = None


def write_results(run: Path) -> Path:
    """Write ``report/results.json``, if it changes, and return its path.

    Raises:
        RunError: If the folder holds no finished run, or cannot be written to.
        DataError: If a cell cannot be read.
    """
    results = collect(Cells(run))
    with suppress(RunError):
        if read_results(run) == results:
            return _path(run)
    results.write(_path(run))
    return _path(run)


def read_results(run: Path) -> RunResults:
    """Return the results of a run.

    Raises:
        RunError: If the run has none, they are damaged, or of another format.
    """
    return read_record(RunResults, _path(run), RunDirectory(run).again)


def _path(run: Path) -> Path:
    return run / "report" / "results.json"


def collect(cells: Cells) -> RunResults:
    """Return the numbers of the report.

    Values are shares in 0..1. With one root seed ``stderr``, ``low`` and ``high`` speak of the
    items (Wilson), with several of the root seeds (Student's t).
    """
    config, seeds, found = cells.config, cells.config["seed"], scored(cells)
    return RunResults(
        format=RunResults.FORMAT,
        base=cells.manifest.base,
        track=config["track"],
        preset=config["preset"],
        seeds=seeds if isinstance(seeds, list) else [seeds],
        interval=found.interval,
        confidence=found.confidence,
        systems=found.systems,
        paired=found.paired,
        routing=found.routing,
        routing_response=found.routing_response,
        data={seed: _yields(cells, seed) for seed in cells.seeds},
        seconds=_seconds(cells),
        versions=cells.manifest.versions,
        cells=cells.keys,
    )


def scored(cells: Cells) -> Scored:
    """Return what is known of the systems: scores, differences, routing; see ``collect``."""
    scores = [scores_of(cells, seed) for seed in cells.seeds]
    targets = _targets(scores)
    level = cells.config["report"]["confidence"]
    over = cells.INTERVAL
    systems = [
        _system(system, scores, targets, level, over if system.kind in cells.MOVED else None)
        for system in cells.systems
    ]
    return Scored(
        "items" if len(cells.seeds) == 1 else over,
        level,
        systems,
        differences(cells, level),
        _routing(scores, "all"),
        _routing(scores, "response"),
    )


def scores_of(cells: Cells, seed: str) -> dict[str, dict[str, Json]]:
    """Return ``system -> benchmark -> score`` of one seed."""
    found: dict[str, dict[str, Json]] = {}
    for system, _, score in cells.scores(seed):
        found.setdefault(system, {})[score["benchmark"]] = score
    return found


def _targets(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the target benchmarks that any system was asked in any root seed."""
    rows = [row for systems in seeds for scores in systems.values() for row in scores.items()]
    return list(dict.fromkeys(name for name, score in rows if score["role"] == "target"))


def _system(
    system: System,
    seeds: Sequence[Mapping[str, Any]],
    targets: Sequence[str],
    level: float,
    over: Interval | None,
) -> SystemScores:
    """Return one system's scores and their average over the targets.

    ``over`` names the seeds; ``None`` where none touches the system, as the base.
    Over several seeds, the average is that of the seeds in which all targets have a score.
    """
    per_seed = [scores.get(system.name, {}) for scores in seeds]
    names = dict.fromkeys(name for scores in per_seed for name in scores)
    scores = {
        name: _combine([s[name] for s in per_seed if name in s], level, over) for name in names
    }
    known = [name for name in targets if name in scores and scores[name].value is not None]
    if over and len(seeds) > 1:
        average = _over_seeds([_average(s, targets) for s in per_seed], level)
    else:
        average = _over_items([scores[name] for name in known])
    return SystemScores(
        name=system.name,
        kind=system.kind,
        labelled=any(bool(row.get("labelled")) for s in per_seed for row in s.values()),
        scores=scores,
        average=average.value,
        average_low=average.low,
        average_high=average.high,
        average_lenient=average.lenient,
        covers=[len(known), len(targets)],
    )


def _average(
    scores: Mapping[str, Json], targets: Sequence[str]
) -> tuple[float, float | None] | None:
    """Return one root seed's strict and lenient average, or ``None`` if a target is missing."""
    found = [scores[name] for name in targets if name in scores]
    if len(found) < len(targets) or any(score["value"] is None for score in found) or not found:
        return None
    return fmean(score["value"] for score in found), whole_mean([s["lenient"] for s in found])


def _over_seeds(averages: Sequence[tuple[float, float | None] | None], level: float) -> _Average:
    """Return the mean of the root seeds' averages; Student's t, for a seed moves all benchmarks."""
    known = [average for average in averages if average is not None]
    if not known:
        return _Average()
    values = [strict for strict, _ in known]
    value, lenient = fmean(values), whole_mean([loose for _, loose in known])
    if len(values) == 1:
        return _Average(value, lenient=lenient)
    half, _ = confident(value, stdev(values) / sqrt(len(values)), len(values) - 1, level)
    return _Average(value, max(0.0, value - half), min(1.0, value + half), lenient)


def _over_items(scores: Sequence[BenchmarkScore]) -> _Average:
    """Return the mean of some scores, its interval made of theirs.

    The halves of the intervals add up in squares (R. G. Newcombe, Statistics in Medicine 17, 1998,
    method 10, for a mean instead of a difference).
    """
    spreads = [spread for score in scores if (spread := score.spread) is not None]
    if not spreads:
        return _Average()
    value = fmean(spread.value for spread in spreads)
    below = sqrt(sum((s.value - s.low) ** 2 for s in spreads)) / len(spreads)
    above = sqrt(sum((s.high - s.value) ** 2 for s in spreads)) / len(spreads)
    return _Average(value, value - below, value + above, whole_mean([s.lenient for s in spreads]))


def _combine(rows: Sequence[Json], level: float, over: Interval | None) -> BenchmarkScore:
    """Return one benchmark's score over all seeds."""
    facts: Json = {key: rows[0][key] for key in ("role", "n", "not_run", "extra")}
    values = [row["value"] for row in rows]
    if any(value is None for value in values):
        return BenchmarkScore(value=None, stderr=None, low=None, high=None, lenient=None, **facts)
    value = fmean(values)
    facts["interval"] = "items"
    if len(rows) == 1 or over is None:
        stderr = rows[0]["stderr"]
        low, high = wilson(value * rows[0]["n"], rows[0]["n"], level)
    else:
        stderr = stdev(values) / sqrt(len(values))
        half, _ = confident(value, stderr, len(values) - 1, level)
        low, high = max(0.0, value - half), min(1.0, value + half)
        loose = [row["lenient"] for row in rows]
        facts |= {"interval": over, "by_seed": values, "lenient_by_seed": loose}
    lenient = whole_mean([row["lenient"] for row in rows])
    return BenchmarkScore(value=value, stderr=stderr, low=low, high=high, lenient=lenient, **facts)


def _routing(seeds: Sequence[Mapping[str, Any]], part: str) -> Shares:
    """Return ``system -> benchmark -> expert -> share``, averaged over the root seeds."""
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for scores in seeds:
        for system, benchmarks in scores.items():
            for name, score in benchmarks.items():
                shares = ((score["routing"] or {}).get("shares") or {}).get(part)
                if shares:
                    found.setdefault((system, name), []).append(shares)
    table: Shares = {}
    for (system, name), rows in found.items():
        means = {expert: fmean(row[expert] for row in rows) for expert in rows[0]}
        table.setdefault(system, {})[name] = means
    return table


def _yields(cells: Cells, seed: str) -> dict[str, DataYield]:
    found = cells.of(seed, "curate")
    return {
        domain: DataYield.model_validate(read_json(folder / "yield.json"))
        for domain, folder in found
    }


def _seconds(cells: Cells) -> dict[str, float]:
    """Return the time every stage took when its cells were made."""
    seconds: dict[str, float] = {}
    for stage, seal in cells.seals():
        seconds[stage] = round(seconds.get(stage, 0.0) + seal.get("seconds", 0.0), 3)
    return seconds
