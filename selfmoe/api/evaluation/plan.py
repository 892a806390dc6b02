"""What an evaluation has to do: adapters are taken over, then every system is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfmoe.api.evaluation.settings import complete
from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import ConfigError, DataError
from selfmoe.contracts.records import System, SystemKind
from selfmoe.evaluation.benchmarks import choose
from selfmoe.models.base import find_base
from selfmoe.pipeline.adoption import plan_adopted
from selfmoe.pipeline.make import check_surroundings
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.stages import evaluate
from selfmoe.pipeline.task import Task
from selfmoe.store.directory import EvaluationDirectory

SEED = 0
"""Root seed under which the cells are named; none of them depends on it."""


@dataclass(frozen=True)
class EvaluationPlan(RunPlan):
    """What is going to be done; there is one plan, for no seed touches an evaluation."""

    @property
    def directory(self) -> EvaluationDirectory:
        """Return where the evaluation lies."""
        return EvaluationDirectory(super().directory.root)

    @property
    def systems(self) -> Mapping[str, SystemKind]:
        """Return name and kind of every system, the base first."""
        return {system.name: system.kind for system, _ in systems_of(self.first)}

    @property
    def left_out(self) -> Mapping[str, str]:
        """Return why benchmarks are not asked; of those that are named, none is left out."""
        return {} if self.config.evaluate.benchmarks else super().left_out


def plan_evaluation(raw: Mapping[str, Any]) -> EvaluationPlan:
    """Return what is to be done to evaluate what settings name; loads no model.

    Args:
        raw: Nested plain data: what the user wants to decide; see ``settings.READ``.

    Raises:
        SelfmoeError: If settings, base, adapters or data are wrong, or there is nothing to ask.
    """
    config = complete(raw)
    directory = EvaluationDirectory(Path(str(config.out)))
    directory.check()
    check_surroundings(config)
    _check_benchmarks(config)
    _check_adapters(config)
    base = find_base(config)
    plan = Plan(config.with_template(base.template.name), directory, base, SEED)
    for name, adapter in config.adapters.items():
        plan_adopted(plan, name, adapter)
    evaluate.ask(plan, systems_of(plan))
    return EvaluationPlan({str(SEED): plan})


def systems_of(plan: Plan) -> Iterator[tuple[System, Task | None]]:
    """Yield the base and every adapter, each also with solved examples if these are asked for."""
    taken = [(System.of_expert(name), task) for name, task in plan.of("specialise").items()]
    shots = plan.config.evaluate.base_shots
    for system, task in [(System.base(), None), *taken]:
        yield system, task
        if shots:
            yield _shown(system, shots), task


def _shown(system: System, shots: int) -> System:
    """Return a system as it answers when it is shown solved examples."""
    return replace(system, name=f"{system.name}-{shots}shot", shots=shots)


def _check_benchmarks(config: RunConfig) -> None:
    """Refuse an evaluation without benchmarks, or with examples that none of them would show.

    The base is not looked for before: it may have to be fetched.

    Raises:
        DataError: Says why there are none.
        ConfigError: If examples are asked for where every benchmark has its own.
    """
    names, named = config.domains or [], config.evaluate.benchmarks
    domains = [config.registry.configure("domain", name) for name in names]
    choices = [choose(domain, config.source, named) for domain in domains]
    asked = [benchmark for choice in choices for benchmark in choice.asked]
    if not asked:
        whys = [f"{i}: {why}" for choice in choices for i, why in choice.left_out.items()]
        reasons = whys or [f"{', '.join(names)}: no benchmark on this track"]
        raise DataError("nothing to evaluate\n  " + "\n  ".join(reasons))
    shots = config.evaluate.base_shots
    if shots and all(benchmark.shots for benchmark in asked):
        raise ConfigError(
            f"evaluate.base_shots: {shots} examples are asked for, but every benchmark that is "
            "asked prescribes its own\n  Leave --shots out."
        )


def _check_adapters(config: RunConfig) -> None:
    """Refuse what is no adapter, and a name shared with another one that is shown examples.

    Raises:
        ConfigError: Names both.
        CompositionError: Says what is wrong with a folder.
    """
    from selfmoe.mixture.adapters import read_config

    shots = config.evaluate.base_shots
    for name, folder in config.adapters.items():
        read_config(folder)
        other = name.removesuffix(f"-{shots}shot")
        if shots and other != name and other in config.adapters:
            raise ConfigError(
                f"--adapter {name}: that is what '{other}' is called with {shots} examples\n"
                "  Give it another name: --adapter NAME=FOLDER"
            )
