"""What the page shows beside the numbers of ``results.json``: routing by block, traces, losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import System
from selfmoe.store.cells import Cells, Json, read_json
from selfmoe.store.files import read_jsonl

Matrix = list[list[float]]


def collect_details(cells: Cells) -> Json:
    """Return what else there is to show of a run.

    Returns:
        ``blocks``: ``system -> benchmark -> part -> [block][expert]``, mean weights over the root
        seeds; ``experts``: ``system -> names``; ``traces``: ``system -> benchmark -> traces`` of
        the first root seed; ``fits``: one entry an expert or composition and root seed;
        ``missing``: what failed; ``left_out``: benchmarks that were not asked, and why;
        ``finished``: when the last cell was made, or ``None``.
    """
    routed = list(_routed(cells))
    dates = [seal.get("finished", "") for _, seal in cells.seals()]
    return {
        "blocks": _blocks(routed),
        "experts": {system: list(routing["shares"]["all"]) for _, system, _, routing in routed},
        "traces": _traces(cells),
        "fits": [fit for seed in cells.seeds for fit in fitted(cells, seed)],
        "missing": cells.missing,
        "left_out": cells.left_out,
        "finished": max(dates, default="") or None,
        "config": cells.config,
    }


def _routed(cells: Cells) -> Iterator[tuple[str, str, str, Json]]:
    """Yield root seed, system, benchmark and routing of every routed evaluation."""
    for seed in cells.seeds:
        for system, _, score in cells.scores(seed):
            if (score["routing"] or {}).get("mean"):
                yield seed, system, score["benchmark"], score["routing"]


def _blocks(routed: Sequence[tuple[str, str, str, Json]]) -> Json:
    found: dict[tuple[str, str, str], list[Matrix]] = {}
    for _, system, benchmark, routing in routed:
        for part, matrix in routing["mean"].items():
            found.setdefault((system, benchmark, part), []).append(matrix)
    table: Json = {}
    for (system, benchmark, part), matrices in found.items():
        table.setdefault(system, {}).setdefault(benchmark, {})[part] = _mean(matrices)
    return table


def _mean(matrices: Sequence[Matrix]) -> Matrix:
    return [
        [fmean(values) for values in zip(*rows, strict=True)]
        for rows in zip(*matrices, strict=True)
    ]


def _traces(cells: Cells) -> Json:
    table: Json = {}
    for system, folder in cells.evaluations(cells.seeds[0]):
        for path in sorted(folder.glob("*.traces.jsonl")):
            benchmark = BenchmarkName.parse_stem(path.name.removesuffix(".traces.jsonl"))
            if rows := read_jsonl(path):
                table.setdefault(system, {})[str(benchmark)] = rows
    return table


def fitted(cells: Cells, seed: str) -> Iterator[Json]:
    """Yield what was fitted: losses by step, tokens, parameters, seconds."""
    for stage in ("specialise", "compose"):
        for label, folder in cells.of(seed, stage):
            seconds = read_json(folder / "cell.json").get("seconds", 0.0)
            facts = _expert(folder) if stage == "specialise" else _composition(folder)
            name = System.of_expert(label).name if stage == "specialise" else label
            yield {"name": name, "seed": seed, "seconds": seconds, **facts}


def _expert(folder: Path) -> Json:
    report = read_json(folder / "training.json")
    kept = ("losses", "examples", "steps", "tokens", "trained_parameters")
    facts = {key: report.get(key) for key in kept}
    return {**facts, "added_parameters": report.get("trained_parameters")}


def _composition(folder: Path) -> Json:
    report: Mapping[str, Any] = read_json(folder / "composition.json")["report"]
    path = folder / "training.json"
    fitted = read_json(path)["fits"] if path.exists() else []
    return {
        "losses": [loss for fit in fitted for loss in fit["losses"]],
        "examples": None,
        "steps": sum(fit["steps"] for fit in fitted) or None,
        "tokens": report.get("tokens"),
        "trained_parameters": report.get("trained_parameters", None if fitted else 0),
        "added_parameters": report.get("added_parameters", report.get("stored_parameters")),
        "discarded_energy": report.get("discarded_energy"),
    }
