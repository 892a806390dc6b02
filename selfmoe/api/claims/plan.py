"""What claims need of a run: the cells that are missing, and those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfmoe.api.claims.claim import EXPERTS, ROUTED, Claim, Side
from selfmoe.api.claims.scopes import Asked, in_scope, why_empty
from selfmoe.api.claims.systems import Cast, Part
from selfmoe.api.claims.variants import VARIANTS
from selfmoe.config.model import RunConfig
from selfmoe.contracts.records import System, SystemKind
from selfmoe.evaluation.verdicts import corrected
from selfmoe.models.base import BaseFiles
from selfmoe.pipeline.plan import Plan, needed_for, once
from selfmoe.pipeline.routed import route
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.stages import STAGES
from selfmoe.pipeline.stages.s7_evaluate import ask_one
from selfmoe.pipeline.task import Task
from selfmoe.store.beside import ClaimsDirectory

Wanted = tuple[System, Asked, bool]
"""A system, the benchmark it must have answered, and whether its routing is looked at."""


@dataclass(frozen=True)
class ClaimsPlan(RunPlan):
    """What is going to be done: a plan for each root seed and variant, by ``seed_name``.

    Attributes:
        claims: The claims, in order.
        untestable: Of those that cannot be tested here: why, by id.
        cast: The parts that their systems have.
        whole: The settings of the run.
    """

    claims: Sequence[Claim] = ()
    untestable: Mapping[str, str] = field(default_factory=dict)
    cast: Cast = field(default_factory=lambda: Cast(RunConfig()))
    whole: RunConfig = field(default_factory=RunConfig)

    @property
    def config(self) -> RunConfig:
        """Return the complete settings of the run."""
        return self.whole

    @property
    def directory(self) -> ClaimsDirectory:
        """Return where the claims lie: in the run's folder."""
        return ClaimsDirectory(super().directory.root)

    @property
    def tested(self) -> list[Claim]:
        """Return the claims that can be tested here."""
        return [claim for claim in self.claims if claim.id not in self.untestable]

    @property
    def level(self) -> float:
        """Return the level of each interval, so that all together have that of the report."""
        return corrected(self.whole.report.confidence, len(self.tested))

    @property
    def tasks(self) -> list[Task]:
        """Return what is to be done, in order; what seeds and variants share once."""
        return once(super().tasks)

    @property
    def systems(self) -> Mapping[str, SystemKind]:
        """Return name and kind of every system that is asked, the base first."""
        base = System.base()
        found: dict[str, SystemKind] = {base.name: base.kind}
        for claim in self.tested:
            for side in claim.sides:
                found |= {s.name: s.kind for s, _ in systems_of(side, self.cast, self.whole)}
        return found

    def of(self, root: int, variant: str) -> Plan:
        """Return the plan of a root seed under a variant."""
        return self.seeds[seed_name(root, variant)]


def seed_name(root: int, variant: str) -> str:
    """Return what the manifest calls the cells of a root seed under a variant."""
    return f"{root} {variant}".strip()


def plan_claims(
    config: RunConfig, base: BaseFiles, claims: Sequence[Claim], root: Path
) -> ClaimsPlan:
    """Return what is to be done to test claims on a run; loads no model.

    Args:
        config: The complete settings of the run.
        base: Its base.
        claims: The claims.
        root: The run's folder.
    """
    cast, directory = Cast(config), ClaimsDirectory(root)
    probe = Plan(config, directory, base, config.root_seeds[0])
    reasons = {claim.id: _reason(probe, claim, cast) for claim in claims}
    untestable = {name: why for name, why in reasons.items() if why}
    tested = [claim for claim in claims if claim.id not in untestable]
    used = {"", *(v for claim in tested for side in claim.sides for v in side.variants)}
    plans = {
        seed_name(seed, name): _planned(probe, seed, name, tested, cast)
        for seed in config.root_seeds
        for name in VARIANTS
        if name in used
    }
    return ClaimsPlan(plans, claims, untestable, cast, config)


def systems_of(side: Side, cast: Cast, config: RunConfig) -> Iterator[tuple[System, Part | None]]:
    """Yield the systems that a side is made of; of experts alone without a part."""
    if side.kind in EXPERTS:
        yield from ((System.of_expert(name), None) for name in config.domains or [])
    elif side.system and isinstance(part := cast.of(side.system), Part):
        yield part.system, part


def _reason(plan: Plan, claim: Claim, cast: Cast) -> str | None:
    """Return why a claim cannot be tested, as far as that can be seen before anything is made."""
    parts = [cast.of(side.system) for side in claim.sides if side.system]
    for problem in parts:
        if isinstance(problem, str):
            return problem
    several = {"away", "best", "own", "named", "steady"}
    if len(plan.config.experts) < 2 and several & {side.kind for side in claim.sides}:
        return "there is only one expert"
    if claim.one == claim.other or (parts[1:] and parts[0] == parts[1] and not _varied(claim)):
        return "with so few experts both sides are the same"
    scope = in_scope(plan, claim, cast)
    if not scope:
        return why_empty(claim.on, plan.config.track)
    return _unreworded(scope) if claim.one.kind == "steady" else None


def _varied(claim: Claim) -> bool:
    one, other = claim.sides
    return one.variants != other.variants or one.kind != other.kind


def _unreworded(scope: Iterable[Asked]) -> str | None:
    """Return that no benchmark knows other words, if that is so; reads their items."""
    for _, benchmark in scope:
        if any(benchmark.reworded(doc) for doc in benchmark.items[:1]):
            return None
    return "no benchmark here can put its items in other words"


def _planned(probe: Plan, seed: int, variant: str, claims: Sequence[Claim], cast: Cast) -> Plan:
    """Return the plan of a root seed under a variant: what claims need, and its ingredients."""
    config = VARIANTS[variant](probe.config)
    sides = [(c, s) for c in claims for s in c.sides if variant in s.variants]
    entries = {
        part.system.name: part.entry
        for _, side in sides
        for _, part in systems_of(side, cast, config)
        if part is not None and part.entry is not None
    }
    plan = Plan(config.model_copy(update={"compose": entries}), probe.directory, probe.base, seed)
    for stage in STAGES[:-1]:
        stage.plan(plan)
    wanted: dict[tuple[str, str, str], Wanted] = {}
    for claim, side in sides:
        for system, asked, looks in _wanted(plan, claim, side, cast):
            key = (system.name, asked[0].name, asked[1].name)
            looks = looks or (key in wanted and wanted[key][2])
            wanted[key] = (system, asked, looks)
    needed = [task for one in wanted.values() for task in _ask(plan, *one)]
    needed += plan.of("curate").values() if any(c.on == "untouched" for c, _ in sides) else ()
    plan.tasks = needed_for(plan.tasks, needed)
    return plan


def _wanted(plan: Plan, claim: Claim, side: Side, cast: Cast) -> Iterator[Wanted]:
    """Yield what must be answered for one side of a claim."""
    for system, _ in systems_of(side, cast, plan.config):
        for domain, benchmark in in_scope(plan, claim, cast):
            if side.kind != "home" or system.expert == domain.name:
                yield system, (domain, benchmark), side.kind in ROUTED


def _ask(plan: Plan, system: System, asked: Asked, looks: bool) -> Iterator[Task]:
    made = plan.of("specialise") if system.kind == "expert" else plan.of("compose")
    made_by = made.get(system.expert if system.kind == "expert" else system.name)
    answers = ask_one(plan, system, made_by, *asked)
    yield answers
    if looks and made_by is not None:
        yield route(plan, system, made_by, answers, asked)
