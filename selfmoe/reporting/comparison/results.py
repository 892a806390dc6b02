"""What a comparison found out: scores, differences, costs and routing of every system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.contracts.records import System
from selfmoe.reporting.comparison.model import ComparedSystem, ComparisonResults
from selfmoe.reporting.comparison.order import order
from selfmoe.reporting.details import fitted
from selfmoe.reporting.model import Shares, SystemScores
from selfmoe.reporting.numbers import collapsed
from selfmoe.reporting.results import scored, scores_of
from selfmoe.store.beside import ComparisonDirectory
from selfmoe.store.cells import COST, COST_TOKENS, Cells, Interval, Json, read_json
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import SEAL
from selfmoe.store.record import read_record

_BASE = System.base().name


class ComparisonCells(Cells):
    """The finished cells of a comparison; its seeds are those of the composers."""

    RECORD: ClassVar[type[RunDirectory]] = ComparisonDirectory
    SEED: ClassVar[str] = "composer seed"
    INTERVAL: ClassVar[Interval] = "composer seeds"
    MOVED: ClassVar[tuple[str, ...]] = ("router", "merge")


def collect_comparison(root: Path, config: RunConfig, root_seed: int) -> ComparisonResults:
    """Return the numbers of a comparison; ``docs/compare.md`` says what each is.

    Args:
        root: The run's folder.
        config: The settings of the comparison.
        root_seed: Root seed of the pipeline whose experts are compared.
    """
    cells = ComparisonCells(root)
    found = scored(cells)
    facts = _Facts(cells, config, found.routing_response or found.routing)
    systems = [facts.compared(system) for system in found.systems]
    return ComparisonResults(
        format=ComparisonResults.FORMAT,
        base=cells.manifest.base,
        track=config.track,
        preset=str(config.preset),
        root_seed=root_seed,
        seed=cells.SEED,
        seeds=[int(seed) for seed in cells.seeds],
        interval=found.interval,
        confidence=found.confidence,
        routing=found.routing,
        routing_response=found.routing_response,
        tokens=COST_TOKENS,
        systems=systems,
        paired=found.paired,
        order=order(systems, found.paired, 1 - found.confidence),
        left_out=cells.manifest.no_composers,
        missing=cells.missing,
        versions=cells.manifest.versions,
        cells=cells.keys,
    )


def read_comparison(run: Path) -> ComparisonResults:
    """Return the numbers of the comparison that was made last on a run.

    Raises:
        RunError: If there are none, they are damaged, or of another format.
    """
    directory = ComparisonDirectory(run)
    return read_record(ComparisonResults, directory.results, directory.again)


class _Facts:
    """What is known of a system beside its scores."""

    def __init__(self, cells: ComparisonCells, config: RunConfig, routing: Shares) -> None:
        self._config, self._routing = config, routing
        self._costs = {label: read_json(path / COST) for label, path in cells.of("0", "cost")}
        self._trained = {fit["name"]: fit["trained_parameters"] for fit in fitted(cells, "0")}
        self._entropy: dict[str, list[float]] = {}
        self._seconds: dict[str, float] = {}
        for seed in cells.seeds:
            for name, bits in _entropies(scores_of(cells, seed)):
                self._entropy.setdefault(name, []).append(bits)
            for name, seconds in _times(cells, seed):
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds / len(cells.seeds)

    def compared(self, system: SystemScores) -> ComparedSystem:
        """Return a system with its composer, parameters, cost, entropy, collapse and seconds."""
        name, is_base = system.name, system.kind == "base"
        cost, base = self._costs.get(_BASE if is_base else name, {}), self._costs.get(_BASE, {})
        flops, entropy = cost.get("flops"), self._entropy.get(name)
        scores = {key: getattr(system, key) for key in SystemScores.model_fields}
        return ComparedSystem(
            **scores,
            **self._composer((self._config.compose or {}).get(name)),
            trained_parameters=0 if is_base else self._trained.get(name),
            added_parameters=cost.get("added_parameters"),
            flops=flops,
            forward=flops / base["flops"] if flops and base else None,
            entropy=fmean(entropy) if entropy else None,
            collapsed=collapsed(self._routing.get(name, {})),
            seconds=round(self._seconds.get(name, 0.0), 3),
        )

    def _composer(self, entry: ComposeConfig | None) -> dict[str, Any]:
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
