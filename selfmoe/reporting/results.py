"""Collecting the finished cells of a run into ``report/results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from selfmoe.errors import DataError
from selfmoe.evaluation.statistics import wilson
from selfmoe.execute import versions
from selfmoe.files import SEAL, write_json
from selfmoe.plan import Plan
from selfmoe.systems import System, systems_of

Json = dict[str, Any]


def write_results(plans: Sequence[Plan]) -> Path:
    """Write ``report/results.json``, if it changes, and return its path; all cells must be done."""
    run = plans[0].directory.root
    results = collect(plans)
    with suppress(DataError):
        if read_results(run) == results:
            return _path(run)
    write_json(_path(run), results)
    return _path(run)


def read_results(run: Path) -> Json:
    """Return the results of a run.

    Raises:
        DataError: If the run has none.
    """
    path = _path(run)
    try:
        results: Json = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; run the same command again") from None
    return results


def _path(run: Path) -> Path:
    return run / "report" / "results.json"


def collect(plans: Sequence[Plan]) -> Json:
    """Return everything the report shows.

    Values are shares in 0..1. With one root seed ``stderr``, ``low`` and ``high`` speak of the
    items (Wilson), with several of the root seeds (Student's t).
    """
    first = plans[0]
    config = first.config
    scores = [_scores(plan) for plan in plans]
    systems = [system for system, _ in systems_of(first)]
    return {
        "format": 1,
        "base": {"name": first.base.name, "hash": first.base.hash},
        "track": config.track,
        "preset": config.preset,
        "seeds": config.root_seeds,
        "interval": "items" if len(plans) == 1 else "root seeds",
        "confidence": config.report.confidence,
        "systems": [_system(system, scores, config.report.confidence) for system in systems],
        "routing": _routing(scores, "all"),
        "routing_response": _routing(scores, "response"),
        "data": {str(plan.root): _yields(plan) for plan in plans},
        "seconds": _seconds(plans),
        "versions": versions(),
        "cells": [task.cell.key for plan in plans for task in plan.tasks],
    }


def _scores(plan: Plan) -> dict[str, dict[str, Json]]:
    """Return ``system -> benchmark -> score`` of one root seed."""
    found: dict[str, dict[str, Json]] = {}
    for task in plan.of("evaluate").values():
        system, _, domain = task.label.partition("/")
        for path in sorted(task.cell.path.glob(f"{domain}.*.json")):
            score = json.loads(path.read_text("utf-8"))
            found.setdefault(system, {})[score["benchmark"]] = score
    return found


def _system(system: System, seeds: Sequence[Mapping[str, Any]], level: float) -> Json:
    per_seed = [scores.get(system.name, {}) for scores in seeds]
    names = dict.fromkeys(name for scores in per_seed for name in scores)
    benchmarks = {name: [s[name] for s in per_seed if name in s] for name in names}
    seeded = system.kind != "base"  # no root seed touches the base
    scores = {name: _combine(rows, level, seeded) for name, rows in benchmarks.items()}
    target = [
        score
        for name, score in scores.items()
        if benchmarks[name][0]["role"] == "target" and score["value"] is not None
    ]
    return {
        "name": system.name,
        "kind": system.kind,
        "scores": scores,
        "average": fmean(score["value"] for score in target) if target else None,
        "average_lenient": _mean([s["lenient"] for s in target]),
        "covers": [len(target), sum(rows[0]["role"] == "target" for rows in benchmarks.values())],
    }


def _combine(rows: Sequence[Json], level: float, seeded: bool) -> Json:
    """Return one benchmark's score over all root seeds."""
    score = {key: rows[0][key] for key in ("n", "not_run", "extra")}
    values = [row["value"] for row in rows]
    if any(value is None for value in values):
        return {"value": None, "stderr": None, "low": None, "high": None, "lenient": None, **score}
    value = fmean(values)
    score["interval"] = "items"
    if len(rows) == 1 or not seeded:
        stderr = rows[0]["stderr"]
        low, high = wilson(value * rows[0]["n"], rows[0]["n"], level)
    else:
        stderr = stdev(values) / sqrt(len(values))
        half = _student(level, len(values) - 1) * stderr
        low, high = max(0.0, value - half), min(1.0, value + half)
        score |= {"interval": "root seeds", "by_seed": values}
    lenient = _mean([row["lenient"] for row in rows])
    return {
        "value": value, "stderr": stderr, "low": low, "high": high, "lenient": lenient, **score
    }  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _student(level: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, freedom))


def _routing(seeds: Sequence[Mapping[str, Any]], part: str) -> Json:
    """Return ``system -> benchmark -> expert -> share``, averaged over the root seeds."""
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for scores in seeds:
        for system, benchmarks in scores.items():
            for name, score in benchmarks.items():
                shares = ((score["routing"] or {}).get("shares") or {}).get(part)
                if shares:
                    found.setdefault((system, name), []).append(shares)
    table: Json = {}
    for (system, name), rows in found.items():
        means = {expert: fmean(row[expert] for row in rows) for expert in rows[0]}
        table.setdefault(system, {})[name] = means
    return table


def _yields(plan: Plan) -> Json:
    return {
        domain: json.loads((task.cell.path / "yield.json").read_text("utf-8"))
        for domain, task in plan.of("curate").items()
        if task.cell.path.exists()
    }


def _seconds(plans: Sequence[Plan]) -> dict[str, float]:
    """Return the time every stage took when its cells were made."""
    seconds: dict[str, float] = {}
    for cell, stage in {task.cell: task.stage for plan in plans for task in plan.tasks}.items():
        if cell.path.exists():
            seal = json.loads((cell.path / SEAL).read_text("utf-8"))
            seconds[stage] = round(seconds.get(stage, 0.0) + seal.get("seconds", 0.0), 3)
    return seconds
