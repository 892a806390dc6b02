"""What a comparison has to do: the run's plan with other compositions, from the composers on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.api.comparison.specs import read_specs
from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError, RunError, unknown_name
from selfmoe.contracts.paths import written
from selfmoe.models.base import find_base
from selfmoe.pipeline import cost
from selfmoe.pipeline.make import plan_stages
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.task import Task
from selfmoe.store.beside import ComparisonDirectory
from selfmoe.store.directory import RunDirectory
from selfmoe.store.manifest import StoredCell

DONE_HERE = ("compose", "evaluate", "cost")
"""Stages whose cells a comparison makes; those before are the run's and never made again."""


@dataclass(frozen=True)
class Question:
    """What is asked of a run.

    Attributes:
        run: The run's folder.
        routers: Routers to compare, as specs.
        merges: The same of merges; with neither, all composers that are installed.
        seeds: How many composer seeds each is composed with.
        root_seed: Root seed whose experts are used; default: the run's first.
        limit: Items a benchmark; default: as the run.
    """

    run: Path
    routers: Iterable[str] | None = None
    merges: Iterable[str] | None = None
    seeds: int = 1
    root_seed: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class ComparisonPlan(RunPlan):
    """What is going to be done: one plan a composer seed, by its number; runs use number 0.

    Attributes:
        no_composers: Composers that cannot work on this run, by label, each with why.
    """

    no_composers: Mapping[str, str]

    @property
    def directory(self) -> ComparisonDirectory:
        """Return where the comparison lies: in the run's folder."""
        return ComparisonDirectory(super().directory.root)

    @property
    def tasks(self) -> list[Task]:
        """Return the tasks that are the comparison's own, in order; what seeds share once."""
        tasks = [task for task in super().tasks if task.stage in DONE_HERE]
        return list({task.cell.path: task for task in reversed(tasks)}.values())[::-1]


def plan_comparison(question: Question) -> ComparisonPlan:
    """Return what is to be done to answer a question; loads no model.

    Raises:
        RunError: If the folder holds no finished run, or its experts are not there.
        ConfigError: If a composer or an option is not known, or the seeds are none.
    """
    if question.seeds < 1:
        raise ConfigError(f"--seeds {question.seeds}: give a number of composer seeds from 1")
    run = RunDirectory(question.run)
    config = _settings(run, question)
    plan = Plan(config, run, find_base(config), _root_seed(config, question))
    experts = _experts(plan_stages(plan), run)
    asked = read_specs(config, question.routers, question.merges)
    chosen = reference(config) | asked
    left_out = {k: why for k, entry in chosen.items() if (why := _problem(config, entry, experts))}
    chosen = {label: entry for label, entry in chosen.items() if label not in left_out}
    config = config.model_copy(update={"compose": chosen})
    directory = ComparisonDirectory(question.run)
    plans = {}
    for number in range(question.seeds):
        made = Plan(config, directory, plan.base, plan.root, composer_seed=number)
        plan_stages(made)
        if number == 0:
            cost.plan(made)
        plans[str(number)] = made
    return ComparisonPlan(plans, left_out)


def reference(config: RunConfig) -> dict[str, ComposeConfig]:
    """Return what others are measured against: the run's first router, else its first composer."""
    compose = config.compose or {}
    routers = [label for label, entry in compose.items() if entry.router]
    return {label: compose[label] for label in [*routers, *compose][:1]}


def _settings(run: RunDirectory, question: Question) -> RunConfig:
    settings: dict[str, Any] = run.manifest().config | {"out": written(run.root)}
    config = resolve(settings, str(run.root / run.MANIFEST))
    if question.limit is None:
        return config
    if question.limit < 1:
        raise ConfigError(f"--limit {question.limit}: give a number of items from 1")
    evaluate = config.evaluate.model_copy(update={"limit": question.limit})
    return config.model_copy(update={"evaluate": evaluate})


def _root_seed(config: RunConfig, question: Question) -> int:
    seed = question.root_seed
    if seed is None:
        return config.root_seeds[0]
    if seed not in config.root_seeds:
        raise unknown_name("root seed", str(seed), map(str, config.root_seeds))
    return seed


def _experts(plan: Plan, run: RunDirectory) -> int:
    """Return how many experts there are, after making sure that they and their data are there.

    Raises:
        RunError: If one is not, or was made by other code or settings than are here now.
    """
    manifest = run.manifest()
    lost = []
    needed = [*plan.of("specialise").values(), *plan.of("curate").values()]
    for task in needed:
        if (problem := task.problem()) is not None:
            made = manifest.cell(str(plan.root), task.cell_name)
            lost.append(f"{task.name}: {_stale(made, task) or problem}")
    if lost:
        raise RunError(
            f"{run.root} has no experts to compare on: {len(lost)} of {len(needed)} cells that "
            "composers read are not there as the present code and settings would make them\n  "
            + "\n  ".join(lost)
            + f"\n  A comparison makes no experts. This makes them: {run.again}"
        )
    return len(plan.of("specialise"))


def _stale(made: StoredCell | None, task: Task) -> str | None:
    """Return what a cell was made as, if it would be made otherwise now."""
    if made is None or made.key == task.cell.key:
        return None
    return (
        f"made as {made.key}; the plugins, base or code of selfmoe here would make {task.cell.key}"
    )


def _problem(config: RunConfig, entry: ComposeConfig, experts: int) -> str | None:
    """Return why a composer cannot work with so many experts."""
    kind, name = entry.component
    problem: str | None = config.registry.configure(kind, name, entry.options).check(experts)
    return problem
