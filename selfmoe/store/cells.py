"""What is there of a run: its manifest, and the finished cells that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from selfmoe.contracts.errors import DataError, RunError
from selfmoe.contracts.names import EvaluationName
from selfmoe.contracts.records import System
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import SEAL, damage
from selfmoe.store.manifest import Manifest

Json = dict[str, Any]

Interval = Literal["items", "root seeds", "composer seeds"]
"""What an interval speaks of: the items of a benchmark, or the seeds of a run or a comparison."""

READ = (".json", ".samples.jsonl", ".traces.jsonl")
"""How the names of the files end that a report is made of."""


COMPOSED = ("router", "merge")
"""Kinds of systems that are made of experts."""

COST_TOKENS = 256
"""Length of the prompt whose forward is counted; a shorter context is filled."""

COST = "cost.json"

ROUTES = "routes.jsonl"


class Cells:
    """The finished cells of a run; nothing is loaded but what is asked for.

    Args:
        root: The run's folder.
        manifest: What to look at instead of what the run last did.

    Attributes:
        root: The run's folder.
        manifest: The manifest.
        seeds: Its seeds, as the manifest writes them.
        RECORD: Which of the folder's manifests is read.
        SEED: What a seed is called.
        INTERVAL: What an interval speaks of that is made of several seeds.
        MOVED: Kinds of systems that change with the seed.

    Raises:
        RunError: If the folder holds no finished run, or a damaged one.
    """

    RECORD: ClassVar[type[RunDirectory]] = RunDirectory
    SEED: ClassVar[str] = "root seed"
    INTERVAL: ClassVar[Interval] = "root seeds"
    MOVED: ClassVar[tuple[str, ...]] = ("expert", "router", "merge")

    def __init__(self, root: Path, manifest: Manifest | None = None) -> None:
        self.root = root
        self._directory = self.RECORD(root)
        self.manifest = self._directory.manifest() if manifest is None else manifest
        self.seeds = self.manifest.seeds

    @property
    def config(self) -> Json:
        """Return the run's complete settings."""
        return self.manifest.config

    @property
    def systems(self) -> list[System]:
        """Return what answered the benchmarks, the base first."""
        return [System(name, kind) for name, kind in self.manifest.systems.items()]

    @property
    def reference(self) -> str | None:
        """Return the system that others are compared with: the first composition, if any."""
        composed = (name for name, kind in self.manifest.systems.items() if kind in COMPOSED)
        return next(composed, None)

    @property
    def missing(self) -> dict[str, dict[str, str]]:
        """Return ``root seed -> cell -> why`` of what could not be done when it ran last."""
        return self.manifest.missing

    @property
    def left_out(self) -> dict[str, str]:
        """Return the benchmarks that were not asked, each with why."""
        return self.manifest.left_out

    def check(self) -> None:
        """Stop unless all that a report is made of is as it was written.

        Raises:
            RunError: If it is not; says how it is made again.
        """
        again = self._directory.again
        report = self.config.get("report")
        level = report.get("confidence") if isinstance(report, dict) else None
        if not {"track", "preset", "seed"} <= set(self.config) or not isinstance(level, float):
            path = self.root / self._directory.MANIFEST
            raise RunError(f"{path} is damaged: its settings are not whole; make it again: {again}")
        folders = [self.root / path for path in self._stages()]
        problems = [problem for folder in folders if (problem := _damage(folder))]
        if problems:
            more = f" (and {len(problems) - 1} more cells are damaged)" if problems[1:] else ""
            raise RunError(f"cell damaged: {problems[0]}{more}\n  This makes it again: {again}")

    def _stages(self) -> dict[str, str]:
        """Return the stage of every cell by its path; several root seeds may share one."""
        return {cell.path: name.stage for name, cell in self.manifest.all_cells()}

    def of(self, seed: str, stage: str) -> Iterator[tuple[str, Path]]:
        """Yield label and folder of every finished cell of a stage."""
        for name, cell in self.manifest.named(seed).items():
            folder = self.root / cell.path
            if name.stage == stage and folder.exists():
                yield name.label, folder

    def evaluations(self, seed: str) -> Iterator[tuple[str, Path]]:
        """Yield the system and the folder of every finished evaluation."""
        for label, folder in self.of(seed, "evaluate"):
            yield EvaluationName.parse(label).system, folder

    def scores(self, seed: str) -> Iterator[tuple[str, Path, Json]]:
        """Yield every score that is there: the system, the file, and what it holds."""
        for system, folder in self.evaluations(seed):
            for path in sorted(folder.glob("*.*.json")):
                yield system, path, read_json(path)

    def seals(self) -> Iterator[tuple[str, Json]]:
        """Yield stage and seal of every cell, those that several root seeds share once."""
        for path, stage in self._stages().items():
            if (self.root / path).exists():
                yield stage, read_json(self.root / path / SEAL)

    @property
    def keys(self) -> list[str]:
        """Return the keys of all cells, in order."""
        return [cell.key for _, cell in self.manifest.all_cells()]


def _damage(folder: Path) -> str | None:
    """Return what is wrong with the files of a cell that a report reads, or with its seal."""
    problem = damage(folder, hashes=READ)
    if problem is None:
        seal = read_json(folder / SEAL)
        seconds, finished = seal.get("seconds", 0.0), seal.get("finished", "")
        if not isinstance(seconds, int | float) or not isinstance(finished, str):
            problem = f"{folder / SEAL} is not what was written"
    return problem


def read_json(path: Path) -> Any:
    """Return what a JSON file of a run holds.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path}: {error}\n  `selfmoe run` on the run's config.yaml makes it again."
        ) from None
