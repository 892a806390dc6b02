"""What a run will do: its cells in order, each with a key made from everything it depends on.

Planning loads no model; it reads names, settings and file hashes only. ``run`` does what the plan
says, ``--dry-run`` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.randomness import derive
from selfmoe.evaluation.benchmarks import Choice, choose, refuse_unknown
from selfmoe.models.base import BaseFiles
from selfmoe.pipeline.session import Session, writes_elsewhere
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.registry.code import engine_hash
from selfmoe.store.cell import key_of
from selfmoe.store.directory import CELL_FOLDERS, RunDirectory
from selfmoe.store.files import hash_of

TASK, SESSION = "selfmoe.pipeline.task", "selfmoe.pipeline.session"
"""What tasks compute with besides their stages: all of them, and those that read the base."""


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

    @property
    def template(self) -> dict[str, Any]:
        """Return what keys know of how tasks are put; nothing where that is Alpaca's template."""
        chosen = self.base.template
        return {} if chosen.name == "alpaca" else {"prompts": self.told(chosen.name)}

    def told(self, template: str) -> list[str]:
        """Return what keys know of a template: its name, and what the base's chat template is."""
        return [template, self.base.template.chat] if template == "chat" else [template]

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
        label: str,
        run: Callable[[Job], None],
        basis: Basis,
        *,
        size: str,
        folder_label: str | None = None,
        name: str | None = None,
        outdated: Callable[[Path], str | None] | None = None,
        foresee: Callable[[Session], None] | None = None,
        shards: Callable[[Task, Session], int] | None = None,
        amount: Callable[[], int] = lambda: 1,
    ) -> Task:
        """Add a task and return it; see ``Task``.

        Args:
            stage: Name of the stage.
            label: What the task is about.
            run: Fills the cell; the code of its module, and what that imports, decides the key.
            basis: What else does.
            size: What it amounts to, in words.
            folder_label: First part of the cell's folder name; default: ``label``.
            name: What the task is called in plan and manifest; default: ``label``.
            outdated: Says why a finished cell should be made again after all.
            foresee: Called before any task is done, if this one is to be.
            shards: Says how many shards several workers may fill.
            amount: Returns how much it is; see ``Task``.
        """
        key = key_of({**self._facts(stage, label, run, basis), **self._writer(stage, basis)})
        cell = self.directory.cell(CELL_FOLDERS[stage], folder_label or label, key)
        seed = derive(self.root, stage, label, *([basis.draw] if basis.draw else []))
        known = (stage, name or label, cell, basis.inputs, run, size, seed, self.root)
        task = Task(*known, outdated, foresee, shards, amount)
        self.tasks.append(task)
        return task

    def _facts(
        self, stage: str, label: str, run: Callable[[Job], None], basis: Basis
    ) -> dict[str, Any]:
        """Return all that decides a task's key."""
        names = self.config.registry
        stage_module = getattr(run, "func", run).__module__
        code = (stage_module, TASK, *([SESSION] if basis.reads_base else []))
        base = [self.base.hash, self.base.dtype, self.config.blocks]
        return {
            "stage": stage,
            "label": label,
            "code": engine_hash(code, (*basis.without, *self._unused(stage, basis))),
            "settings": basis.settings,
            "components": [names.identity(*component) for component in basis.components],
            "inputs": [[role, task.cell.key] for role, task in basis.inputs.items()],
            "seed": [self.root, basis.draw] if basis.seeded else None,
            "base": base if basis.reads_base else None,
        }

    def _writer(self, stage: str, basis: Basis) -> dict[str, Any]:
        """Return what keys know of the backend that writes; nothing where this process does."""
        if self._unused(stage, basis):
            return {}
        chosen, names = self.config.generate, self.config.registry
        name = str(chosen.backend)
        made_with = names.get("backend", name).made_with
        options = {key: value for key, value in chosen.options.items() if key in made_with}
        return {"backend": [names.identity("backend", name), options]}

    def _unused(self, stage: str, basis: Basis) -> tuple[str, ...]:
        """Return the code of backends, where a task has none."""
        elsewhere = basis.writes and writes_elsewhere(self.config, stage)
        return () if elsewhere else ("selfmoe.models.remote",)


def once(tasks: Iterable[Task]) -> list[Task]:
    """Return tasks in order, of those that fill the same cell the first."""
    found: dict[Path, Task] = {}
    for task in tasks:
        found.setdefault(task.cell.path, task)
    return list(found.values())


def needed_for(tasks: Sequence[Task], wanted: Iterable[Task]) -> list[Task]:
    """Return the tasks that are wanted, and those whose results they read, in order."""
    found: set[int] = set()
    todo = list(wanted)
    while todo:
        task = todo.pop()
        if id(task) not in found:
            found.add(id(task))
            todo += task.inputs.values()
    return [task for task in tasks if id(task) in found]
