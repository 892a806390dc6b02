"""What an evaluation without a run found out, and how the terminal shows it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from selfmoe.contracts.records import System, SystemKind
from selfmoe.reporting.model import Results
from selfmoe.reporting.numbers import change, margin, p_clause
from selfmoe.reporting.results import scored
from selfmoe.reporting.terminal.tables import legend, print_scores
from selfmoe.store.cells import Cells
from selfmoe.store.directory import EvaluationDirectory, RunDirectory

SAMPLES = ".samples.jsonl"


class EvaluationCells(Cells):
    """The finished cells of an evaluation; no seed touches them, and the base is the reference."""

    RECORD: ClassVar[type[RunDirectory]] = EvaluationDirectory
    MOVED: ClassVar[tuple[str, ...]] = ()

    @property
    def reference(self) -> str | None:
        """Return the system that others are compared with."""
        return System.base().name


class EvaluationResults(Results):
    """What ``results.json`` of an evaluation holds; differences are to the base.

    Attributes:
        left_out: Benchmarks that were not asked, each with why.
        missing: ``cell -> why`` of what could not be done.
        samples: ``system -> benchmark -> file`` of every answer, below the evaluation's folder.
    """

    left_out: dict[str, str]
    missing: dict[str, str]
    samples: dict[str, dict[str, str]]

    @property
    def fixed(self) -> tuple[SystemKind, ...]:
        """Return the kinds of systems that no seed touches."""
        return ("base", "expert")


def collect_evaluation(root: Path) -> EvaluationResults:
    """Return the numbers of an evaluation.

    Values are shares in 0..1; ``low`` and ``high`` speak of the items (Wilson).

    Args:
        root: The evaluation's folder.

    Raises:
        RunError: If it holds no finished evaluation, or a damaged one.
    """
    cells = EvaluationCells(root)
    cells.check()
    config, found = cells.config, scored(cells)
    return EvaluationResults(
        format=EvaluationResults.FORMAT,
        base=cells.manifest.base,
        track=config["track"],
        preset=config["preset"],
        seeds=[int(seed) for seed in cells.seeds],
        interval=found.interval,
        confidence=found.confidence,
        systems=found.systems,
        paired=found.paired,
        routing=found.routing,
        routing_response=found.routing_response,
        versions=cells.manifest.versions,
        cells=cells.keys,
        left_out=cells.left_out,
        missing={k: why for seed in cells.seeds for k, why in cells.missing.get(seed, {}).items()},
        samples=_samples(cells),
    )


def _samples(cells: Cells) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for seed in cells.seeds:
        for system, path, score in cells.scores(seed):
            rows = path.with_suffix(SAMPLES)
            place = rows.relative_to(cells.root).as_posix()
            found.setdefault(system, {})[score["benchmark"]] = place
    return found


def print_evaluation(results: EvaluationResults, root: Path, console: Console) -> None:
    """Print the scores as a run's are, differences to the base, and where the answers lie.

    Args:
        results: What the evaluation found out.
        root: Its folder.
        console: Where to.
    """
    if any(system.scores for system in results.systems):
        print_scores(results, console)
        console.print(legend(results), style="dim", markup=False)
    for line in [*_differences(results), *_troubles(results), *_places(results, root)]:
        console.print(line, markup=False, soft_wrap=True)


def _differences(results: EvaluationResults) -> Iterator[str]:
    """Yield what each system's average is less the base's, on the same items."""
    paired = results.paired
    for name, measured in (paired.systems if paired else {}).items():
        estimate = measured.score
        if paired and estimate is not None:
            points = f"{change(estimate.difference)}{margin(estimate.low, estimate.high)} points"
            yield (
                f"{name} less {paired.reference}, on the same items: {points}, "
                f"{p_clause(estimate.p)}."
            )


def _troubles(results: EvaluationResults) -> Iterator[str]:
    for identity, why in results.left_out.items():
        yield f"Not asked: {identity}: {why}"
    for name, why in results.missing.items():
        first = why.partition("\n")[0]
        yield f"Failed: {name}: {first}"


def _places(results: EvaluationResults, root: Path) -> Iterator[str]:
    """Yield where results and samples lie, and what shows them."""
    yield f"Results: {EvaluationDirectory(root).results}"
    yield f"Samples: {root / 'evaluations'} (one folder a system and benchmark)"
    first = [(name, id_) for name, rows in results.samples.items() for id_ in rows][:1]
    for name, identity in first:
        yield f"Every answer: selfmoe explain-score {shlex.quote(str(root))} {name} {identity}"
