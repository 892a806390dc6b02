"""One cell to fill: what it is made from, and what its function is given to fill it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.names import CellName
from selfmoe.contracts.randomness import derive
from selfmoe.registry.registry import Kind
from selfmoe.store.cell import Cell
from selfmoe.store.shards import Share

if TYPE_CHECKING:
    from selfmoe.pipeline.session import Session


@dataclass(frozen=True)
class Task:
    """One cell to fill.

    Attributes:
        stage: Name of the stage.
        label: What it is about: a domain, an expert, a system, or ``<system>/<domain>``.
        cell: Where the result goes.
        inputs: The tasks whose results it reads, by role.
        run: Fills the cell.
        size: What it amounts to, in words: ``"5000 instructions"``.
        seed: Seed of this cell.
        root: Root seed of the pipeline it belongs to.
        outdated: Says why a finished cell should be made again after all.
        amount: Returns how much it is in the unit that its cost grows with: texts, items, examples
            times epochs; 1 where it grows with nothing.
        foresee: Called before any task is done, if this one is to be: to refuse what cannot work,
            and to say what is going to happen. Tasks that share one share the call.
        shards: Says, once the inputs are there, how many shards the cell is made from that several
            workers may fill; ``run`` takes ``Job.share`` into account.
    """

    stage: str
    label: str
    cell: Cell
    inputs: Mapping[str, Task]
    run: Callable[[Job], None]
    size: str
    seed: int
    root: int
    outdated: Callable[[Path], str | None] | None = None
    foresee: Callable[[Session], None] | None = None
    shards: Callable[[Task, Session], int] | None = None
    amount: Callable[[], int] = lambda: 1

    def problem(self) -> str | None:
        """Return why the task has to be done, or ``None`` if it is done."""
        problem = self.cell.problem()
        if problem is None and self.outdated is not None:
            problem = self.outdated(self.cell.path)
        return problem

    @property
    def cell_name(self) -> CellName:
        """Return what the manifest calls the cell."""
        return CellName(self.stage, self.label)

    @property
    def name(self) -> str:
        """Return stage and label as one text."""
        return f"{self.stage} {self.label}"


def examples_seen(options: Mapping[str, Any], examples: int) -> int:
    """Return how many examples a fit with these options sees, each as often as it does."""
    seen = examples * int(options.get("epochs") or 1)
    steps, size = options.get("max_steps"), options.get("batch_size")
    return min(seen, steps * size) if steps and size else seen


@dataclass(frozen=True)
class Job:
    """A task being done: what its function is given.

    Attributes:
        task: The task.
        session: What all tasks of a run share: settings, the loaded base, the display.
        work: Folder for resumable state.
        out: Folder to fill.
        remarks: To be added to: what came of it, where that is less than what was planned.
        share: The shards to fill, and no more, where several workers fill them.
    """

    task: Task
    session: Session
    work: Path
    out: Path
    remarks: list[str] = field(default_factory=list)
    share: Share | None = None

    def input(self, role: str) -> Path:
        """Return the folder of the task that plays a role among the inputs."""
        return self.task.inputs[role].cell.path

    def seed(self, *purpose: str | int) -> int:
        """Return the seed for one purpose within this task."""
        return derive(self.task.seed, *purpose)


@dataclass(frozen=True)
class Basis:
    """What a cell is made from: this decides its key, beside stage, label and code.

    Attributes:
        settings: The part of the configuration that matters.
        components: The plugins at work.
        inputs: The tasks whose results are read, by role.
        reads_base: Whether the base model matters.
        seeded: Whether the root seed matters by itself, not only through the inputs.
        draw: Number of the task's seed, where the same task is done with several.
        without: Packages of the engine that this task does not use, though its stage imports them.
        writes: Whether texts are written with the plain base, here or by a backend.
    """

    settings: Mapping[str, Any]
    components: Sequence[tuple[Kind, str]] = ()
    inputs: Mapping[str, Task] = field(default_factory=dict)
    reads_base: bool = True
    seeded: bool = True
    draw: int = 0
    without: tuple[str, ...] = ()
    writes: bool = False
