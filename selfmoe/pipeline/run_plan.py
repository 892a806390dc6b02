"""What a whole run will do: its plans, one a seed, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfmoe.config.model import RunConfig
from selfmoe.contracts.records import SystemKind
from selfmoe.models.base import BaseFiles
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.systems import systems_of
from selfmoe.pipeline.task import Task
from selfmoe.store.directory import RunDirectory
from selfmoe.store.manifest import PlannedCell


@dataclass(frozen=True)
class RunPlan:
    """The plans of a run, in order; settings, base and directory are the same in all of them.

    Attributes:
        seeds: The plans, at least one, by the name that their seed has in the manifest.
    """

    seeds: Mapping[str, Plan]

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.seeds.values())

    @property
    def first(self) -> Plan:
        """Return the plan of the first seed."""
        return next(iter(self))

    @property
    def config(self) -> RunConfig:
        """Return the complete settings."""
        return self.first.config

    @property
    def directory(self) -> RunDirectory:
        """Return where the cells lie."""
        return self.first.directory

    @property
    def base(self) -> BaseFiles:
        """Return where the base lies."""
        return self.first.base

    @property
    def tasks(self) -> list[Task]:
        """Return what is to be done, in order; seeds may share a cell."""
        return [task for plan in self for task in plan.tasks]

    @property
    def systems(self) -> Mapping[str, SystemKind]:
        """Return name and kind of every system, the base first."""
        return {system.name: system.kind for system, _ in systems_of(self.first)}

    @property
    def left_out(self) -> Mapping[str, str]:
        """Return why benchmarks are not asked that nobody decided against, by their ids."""
        choices = self.first.choices.values()
        return {identity: why for choice in choices for identity, why in choice.left_out.items()}

    @property
    def rows(self) -> list[PlannedCell]:
        """Return one row a task, for ``RunDirectory.write_plan``."""
        return [
            PlannedCell(
                seed=task.root,
                stage=task.stage,
                label=task.label,
                key=task.cell.key,
                path=task.cell.path.relative_to(self.directory.root).as_posix(),
                size=task.size,
            )
            for task in self.tasks
        ]
