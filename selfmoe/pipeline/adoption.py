"""An expert from outside, as a PEFT LoRA folder: checked against the base, and copied."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selfmoe.contracts.records import System
from selfmoe.mixture.systems import attached
from selfmoe.models.base import is_base
from selfmoe.pipeline.task import Basis, Job
from selfmoe.store.files import write_json

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan


def plan_adopted(plan: Plan, name: str, adapter: Path) -> None:
    """Add the task that takes over an expert from outside; refuses one that does not fit."""
    from selfmoe.mixture.adapters import adapter_hash

    basis = Basis({"adapter": adapter_hash(adapter)}, seeded=False)
    size = "1 expert from outside"
    task = plan.add("specialise", name, partial(adopt, name, adapter), basis, size=size)
    if task.problem():
        _check_fits(plan, name, adapter)  # what is wrong is said now, before anything is made


def _check_fits(plan: Plan, name: str, adapter: Path) -> None:
    """Refuse an adapter that does not fit the base, or that a router of the run cannot weigh."""
    from selfmoe.mixture.sites.compatibility import check_expert, skeleton

    entries = (plan.config.compose or {}).values()
    routed = any(e.router and (e.experts is None or name in e.experts) for e in entries)
    if (model := skeleton(plan.base.path)) is not None:
        check_expert(name, adapter, model, routed=routed, blocks=plan.config.blocks)


def adopt(name: str, adapter: Path, job: Job) -> None:
    """Write a copy of an adapter from outside; warns if it was made for another base.

    Raises:
        CompositionError: If it does not fit the base, or is no plain LoRA.
    """
    from selfmoe.mixture.adapters import made_for, take_over

    base = job.session.base
    take_over(adapter, job.out)
    with attached(base, System.of_expert(name), job.out, job.session.config.registry):
        pass  # shapes are checked against the base's
    named, session = made_for(adapter), job.session
    if named is None or not is_base(named, session.files, session.config, near=adapter):
        said = "a base it does not name" if named is None else f"'{named}'"
        session.display.warn(
            f"{job.task.name}: {adapter} was made for {said}, this run's base is "
            f"'{base.name}'; its shapes fit, whether it does only scores will tell"
        )
    write_json(job.out / "training.json", {"expert": name, "adopted": adapter.name})
