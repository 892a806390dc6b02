"""What experts that come one by one need: the cells of every state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfmoe.api.continual.states import State, coming, states_of
from selfmoe.api.expert_settings import Join
from selfmoe.api.run import from_yaml
from selfmoe.config.model import RunConfig
from selfmoe.contracts.paths import expand
from selfmoe.contracts.records import System, SystemKind
from selfmoe.models.base import BaseFiles, find_base
from selfmoe.pipeline.make import check_surroundings
from selfmoe.pipeline.plan import Plan, needed_for, once
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.stages import STAGES
from selfmoe.pipeline.stages.s7_evaluate import ask, ask_one
from selfmoe.pipeline.systems import systems_of
from selfmoe.pipeline.task import Task
from selfmoe.store.beside import ContinualDirectory
from selfmoe.store.directory import CONFIG, RunDirectory


@dataclass(frozen=True)
class ContinualPlan(RunPlan):
    """What is going to be done: a plan for each root seed and state.

    Attributes:
        states: The states, in order.
        plans: The plans of each state, by root seed.
    """

    states: Sequence[State] = ()
    plans: Sequence[RunPlan] = ()

    @property
    def config(self) -> RunConfig:
        """Return the complete settings with all experts."""
        return self.plans[-1].config

    @property
    def directory(self) -> ContinualDirectory:
        """Return where it lies: in the run's folder."""
        return ContinualDirectory(super().directory.root)

    @property
    def tasks(self) -> list[Task]:
        """Return what is to be done, in order; what states share once."""
        return once(super().tasks)

    @property
    def systems(self) -> Mapping[str, SystemKind]:
        """Return name and kind of every system that is asked."""
        return {system.name: system.kind for system, _ in _asked(self.plans[-1].first)}

    @property
    def left_out(self) -> Mapping[str, str]:
        """Return why benchmarks are not asked that nobody decided against, by their ids."""
        return self.plans[-1].left_out


def plan_continual(
    run: str | Path,
    experts: Sequence[str] | None = None,
    *,
    join: Join = "extend",
    systems: Sequence[str] | None = None,
) -> ContinualPlan:
    """Return what is to be done to let experts come to a run one by one; loads no model.

    Args:
        run: Folder of a finished run.
        experts: See ``selfmoe.api.continual.states.coming``.
        join: How they join the compositions.
        systems: Labels of the compositions they join; ``None``: all that route.

    Raises:
        SelfmoeError: If the run or a name is wrong, or the data a domain needs is missing.
    """
    root = expand(run)
    RunDirectory(root).manifest()  # refuses what is no finished run
    states = states_of(coming(from_yaml(root / CONFIG), experts, systems), join)
    check_surroundings(states[-1].config)
    base = find_base(states[-1].config)
    plans = [planned(state, base, root) for state in states]
    seeds = {
        f"{seed} {number}": plan
        for number, one in enumerate(plans)
        for seed, plan in one.seeds.items()
    }
    return ContinualPlan(seeds, states, plans)


def planned(state: State, base: BaseFiles, root: Path) -> RunPlan:
    """Return the plans of a state: the compositions are asked everything, who came its own."""
    config = state.config.with_template(base.template.name)
    directory = RunDirectory(root)
    return RunPlan(
        {
            str(seed): _of_seed(Plan(config, directory, base, seed), state.expert)
            for seed in config.root_seeds
        }
    )


def _of_seed(plan: Plan, expert: str) -> Plan:
    for stage in STAGES[:-1]:
        stage.plan(plan)
    ask(plan, _asked(plan))
    if expert in (plan.config.domains or []):
        domain = next(domain for domain in plan.domains if domain.name == expert)
        made_by = plan.of("specialise")[expert]
        for benchmark in plan.choices[expert].asked:
            ask_one(plan, System.of_expert(expert), made_by, domain, benchmark)
    plan.tasks = needed_for(plan.tasks, plan.of("evaluate").values())
    return plan


def _asked(plan: Plan) -> Iterator[tuple[System, Task | None]]:
    """Yield the compositions with what makes them."""
    for system, made_by in systems_of(plan):
        if system.kind in ("router", "merge"):
            yield system, made_by
