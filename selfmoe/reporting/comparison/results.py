"""What a comparison found out: scores, differences, costs and routing of every system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.contracts.records import System
from selfmoe.reporting.comparison.order import order
from selfmoe.reporting.details import fits
from selfmoe.reporting.results import scored, scores_of
from selfmoe.store.cells import FILE, TOKENS, Cells, Json, read_json
from selfmoe.store.directory import ComparisonDirectory, RunDirectory
from selfmoe.store.files import SEAL

_BASE = System.base().name

COLLAPSED = 0.95
"""Share of the weight of the answer tokens above which one expert has taken over a router."""


class ComparisonCells(Cells):
    """The finished cells of a comparison; its seeds are those of the composers."""

    RECORD: ClassVar[type[RunDirectory]] = ComparisonDirectory
    SEED: ClassVar[str] = "composer seed"
    MOVED: ClassVar[tuple[str, ...]] = ("router", "merge")


def collect_comparison(root: Path, config: RunConfig, root_seed: int) -> Json:
    """Return the numbers of a comparison; ``docs/compare.md`` says what each is.

    Args:
        root: The run's folder.
        config: The settings of the comparison.
        root_seed: Root seed of the pipeline whose experts are compared.
    """
    cells = ComparisonCells(root)
    found = scored(cells)
    systems, paired = found.pop("systems"), found.pop("paired")
    facts = _Facts(cells, config, found["routing_response"] or found["routing"])
    rows = [{**system, **facts.of(system)} for system in systems]
    return {
        "format": 1,
        "base": cells.manifest.base.to_json(),
        "track": config.track,
        "preset": config.preset,
        "root_seed": root_seed,
        "seed": cells.SEED,
        "seeds": [int(seed) for seed in cells.seeds],
        **found,
        "tokens": TOKENS,
        "systems": rows,
        "paired": paired,
        "order": order(rows, paired, 1 - found["confidence"]),
        "left_out": cells.manifest.no_composers,
        "missing": cells.missing,
        "versions": cells.manifest.versions,
        "cells": cells.keys,
    }


class _Facts:
    """What is known of a system beside its scores."""

    def __init__(self, cells: ComparisonCells, config: RunConfig, routing: Json) -> None:
        self._config, self._routing = config, routing
        self._costs = {label: read_json(path / FILE) for label, path in cells.of("0", "cost")}
        self._trained = {fit["name"]: fit["trained_parameters"] for fit in fits(cells, "0")}
        self._entropy: dict[str, list[float]] = {}
        self._seconds: dict[str, float] = {}
        for seed in cells.seeds:
            for name, bits in _entropies(scores_of(cells, seed)):
                self._entropy.setdefault(name, []).append(bits)
            for name, seconds in _times(cells, seed):
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds / len(cells.seeds)

    def of(self, system: Json) -> Json:
        """Return composer, parameters, cost, entropy, collapse and seconds of one system."""
        name, is_base = system["name"], system["kind"] == "base"
        entry = (self._config.compose or {}).get(name)
        cost, base = self._costs.get(_BASE if is_base else name, {}), self._costs.get(_BASE, {})
        flops, entropy = cost.get("flops"), self._entropy.get(name)
        return {
            **self._composer(entry),
            "trained_parameters": 0 if is_base else self._trained.get(name),
            "added_parameters": cost.get("added_parameters"),
            "flops": flops,
            "forward": flops / base["flops"] if flops and base else None,
            "entropy": fmean(entropy) if entropy else None,
            "collapsed": collapsed(self._routing.get(name, {})),
            "seconds": round(self._seconds.get(name, 0.0), 3),
        }

    def _composer(self, entry: ComposeConfig | None) -> Json:
        if entry is None:
            return {"composer": None, "options": None, "control": False}
        kind, name = entry.component
        cls = self._config.registry.get(kind, name)
        return {
            "composer": name,
            "options": entry.options,
            "control": cls.control,
        }


def _entropies(scores: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, float]]:
    """Yield the name of every routed system and its entropy on each target, of answer tokens."""
    for name, benchmarks in scores.items():
        for score in benchmarks.values():
            bits = (score["routing"] or {}).get("entropy", {})
            if bits and score["role"] == "target":
                yield name, bits.get("response", bits["all"])


def _times(cells: ComparisonCells, seed: str) -> Iterator[tuple[str, float]]:
    """Yield the name of a system and the seconds of each cell that was made for it."""
    for system, folder in [*cells.of(seed, "compose"), *cells.evaluations(seed)]:
        seconds: float = read_json(folder / SEAL).get("seconds", 0.0)
        yield system, seconds


def collapsed(routing: Mapping[str, Mapping[str, float]]) -> str | None:
    """Return the expert that gets nearly all weight on every benchmark, if there is one."""
    rows = list(routing.values())
    for expert in rows[0] if rows and len(rows[0]) > 1 else ():
        if all(row[expert] > COLLAPSED for row in rows):
            return expert
    return None
