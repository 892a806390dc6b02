"""What a run will do: its cells in order, each with a key made from everything it depends on.

Planning loads no model; it reads names, settings and file hashes only. ``run`` does what the plan
says, ``--dry-run`` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe import __version__
from selfmoe.config.model import RunConfig
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.names import CellName
from selfmoe.contracts.randomness import derive
from selfmoe.evaluation.benchmarks import Choice, choose, refuse_unknown
from selfmoe.models.base import BaseFiles
from selfmoe.registry.registry import Kind
from selfmoe.store.cell import Cell, key_of
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import hash_of

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
        foresee: Called before any task is done, if this one is to be: to refuse what cannot work,
            and to say what is going to happen. Tasks that share one share the call.
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


@dataclass(frozen=True)
class Job:
    """A task being done: what its function is given.

    Attributes:
        task: The task.
        session: What all tasks of a run share: settings, the loaded base, the display.
        work: Folder for resumable state.
        out: Folder to fill.
        remarks: To be added to: what came of it, where that is less than what was planned.
    """

    task: Task
    session: Session
    work: Path
    out: Path
    remarks: list[str] = field(default_factory=list)

    def input(self, role: str) -> Path:
        """Return the folder of the task that plays a role among the inputs."""
        return self.task.inputs[role].cell.path

    def seed(self, *purpose: str | int) -> int:
        """Return the seed for one purpose within this task."""
        return derive(self.task.seed, *purpose)


@dataclass
class Plan:
    """All tasks of one root seed, in the order they can be done.

    Attributes:
        config: The complete settings.
        directory: Where the cells lie.
        base: Where the base lies.
        root: The root seed.
        composer_seed: Which of several draws of the composers' own seeds; a run has number 0.
        tasks: The tasks.
    """

    config: RunConfig
    directory: RunDirectory
    base: BaseFiles
    root: int
    composer_seed: int = 0
    tasks: list[Task] = field(default_factory=list)

    @property
    def domains(self) -> Iterator[Domain]:
        """Yield the run's domains, configured, in the order they were asked for."""
        for name in self.config.domains or []:
            yield self.config.registry.configure("domain", name)

    def of(self, stage: str) -> dict[str, Task]:
        """Return the tasks of a stage by label, in order."""
        return {task.label: task for task in self.tasks if task.stage == stage}

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """The benchmarks asked, by domain."""
        config = self.config
        named = config.evaluate.benchmarks
        refuse_unknown(list(self.domains), config.source, named or ())
        return {domain.name: choose(domain, config.source, named) for domain in self.domains}

    def sources(self, paths: Iterable[Path]) -> dict[str, Any]:
        """Return what identifies data that is read: the track and the hashes of files.

        Data sets of the hub have no identity here: they count as what they were at first.
        """
        files = {self._inside(path): hash_of(path) for path in paths}
        return {"track": self.config.track, "files": files}

    def _inside(self, path: Path) -> str:
        folder = self.config.data_dir
        inside = folder is not None and path.is_relative_to(folder)
        return path.relative_to(folder).as_posix() if inside and folder else path.name

    def add(
        self,
        stage: str,
        folder: str,
        label: str,
        run: Callable[[Job], None],
        *,
        settings: Mapping[str, Any],
        components: Sequence[tuple[Kind, str]] = (),
        inputs: Mapping[str, Task] | None = None,
        reads_base: bool = True,
        size: str = "",
        version: int = 1,
        cell_label: str | None = None,
        name: str | None = None,
        seeded: bool = True,
        draw: int = 0,
        outdated: Callable[[Path], str | None] | None = None,
        foresee: Callable[[Session], None] | None = None,
    ) -> Task:
        """Add a task; what is given here decides its key, but for its name, size and functions.

        Args:
            stage: Name of the stage.
            folder: Folder of the run directory the cell lies in.
            label: What the task is about.
            run: Fills the cell.
            settings: The part of the configuration that matters.
            components: The plugins at work.
            inputs: The tasks whose results it reads, by role.
            reads_base: Whether the base model matters.
            size: What it amounts to, in words.
            version: To be raised when the stage's code changes what comes out.
            cell_label: First part of the cell's folder name; default: ``label``.
            name: What the task is called in plan and manifest; default: ``label``.
            seeded: Whether the root seed matters by itself, not only through the inputs.
            draw: Number of the task's seed, where the same task is done with several.
            outdated: Says why a finished cell should be made again after all.
            foresee: Called before any task is done, if this one is to be.
        """
        inputs = inputs or {}
        names = self.config.registry
        facts: dict[str, Any] = {
            "stage": stage,
            "version": version,
            "label": label,
            "settings": settings,
            "components": [names.identity(*component) for component in components],
            "inputs": [[role, task.cell.key] for role, task in inputs.items()],
            "seed": self.root if seeded else None,
            "selfmoe": __version__,
        }
        if draw:
            facts["draw"] = draw
        if reads_base:
            facts["base"] = [self.base.hash, self.base.dtype, self.config.blocks]
        cell = self.directory.cell(folder, cell_label or label, key_of(facts))
        seed = derive(self.root, stage, label, *([draw] if draw else []))
        known = (stage, name or label, cell, inputs, run, size, seed, self.root)
        task = Task(*known, outdated, foresee)
        self.tasks.append(task)
        return task
