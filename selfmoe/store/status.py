"""How far a run is, read off its directory: no model, no plugin, no settings needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfmoe.store.cell import FAILURE
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import damage
from selfmoe.store.manifest import PlannedCell

State = Literal["done", "to do", "damaged", "failed"]


@dataclass(frozen=True)
class CellState:
    """One cell of the last command and what became of it.

    Attributes:
        seed: Root seed of its pipeline; the first one, where several share the cell.
        stage: Name of the stage.
        label: What it is about.
        path: Its folder, relative to the run's.
        state: What became of it.
        detail: What is wrong, why it failed, or how far it is; may be empty.
    """

    seed: int
    stage: str
    label: str
    path: str
    state: State
    detail: str


def cell_states(run: RunDirectory, *, verify: bool = False) -> list[CellState]:
    """Return the state of every cell of the last command, in the order they are made.

    Args:
        run: The run directory.
        verify: Also compare the sha256 of every file; reads everything.

    Raises:
        RunError: If the folder holds no run.
    """
    cells: dict[str, PlannedCell] = {}
    for cell in run.plan() or _finished(run):
        cells.setdefault(cell.path, cell)
    return [_state(run.root, cell, verify) for cell in cells.values()]


def _finished(run: RunDirectory) -> Iterator[PlannedCell]:
    """Yield the cells a manifest names: all there is to go by where no plan was kept."""
    manifest = run.manifest()
    for seed in manifest.seeds:
        for name, cell in manifest.named(seed).items():
            yield PlannedCell(
                seed=int(seed),
                stage=name.stage,
                label=name.label,
                key=cell.key,
                path=cell.path,
                size="",
            )


def _state(root: Path, cell: PlannedCell, verify: bool) -> CellState:
    facts = (cell.seed, cell.stage, cell.label, cell.path)
    path, work = root / cell.path, root / "work" / cell.path
    if path.exists():
        problem = damage(path, hashes=verify)
        return CellState(*facts, "damaged" if problem else "done", problem or "")
    failure = work / FAILURE
    if failure.is_file():
        return CellState(*facts, "failed", failure.read_text("utf-8", errors="replace"))
    return CellState(*facts, "to do", _progress(work, cell.size))


def _progress(work: Path, size: str) -> str:
    """Return how far an unfinished cell is, from the shards and checkpoints it left."""
    shards = list(work.rglob("shard-*.jsonl"))
    steps = [path.name.removeprefix("step-") for path in work.rglob("step-*") if path.is_dir()]
    parts = []
    if shards:
        rows = sum(path.read_bytes().count(b"\n") for path in shards)
        parts.append(f"{rows} rows written" + (f" for {size}" if size else ""))
    parts += [f"trained to step {int(step)}" for step in sorted(steps)[-1:] if step.isdigit()]
    return ", ".join(parts)


def size_of(path: Path) -> int:
    """Return the bytes of all files in a folder; links are not followed."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += Path(folder, name).lstat().st_size
            except OSError:  # it may be going on
                continue
    return total


def bytes_text(count: float) -> str:
    """Return a number of bytes as people say it: ``512 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
