"""Stage 5: one expert a domain, trained on what the base wrote for that domain.

An expert may also come from outside, as a PEFT LoRA folder (``adapters``): it is taken as it is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from selfmoe.contracts.records import System
from selfmoe.contracts.trainer import TrainContext
from selfmoe.mixture.systems import attached
from selfmoe.models.base import is_base
from selfmoe.pipeline.foresight import adapted, foresee_training
from selfmoe.pipeline.plan import Job, Plan
from selfmoe.pipeline.records import read_examples
from selfmoe.store.files import write_json


def plan(plan: Plan) -> None:
    """Add one task an expert; an expert has the name of its domain, if it has one."""
    config = plan.config.specialise
    for name in plan.config.experts:
        if (adapter := plan.config.adapters.get(name)) is not None:
            _adopted(plan, name, adapter)
            continue
        plan.add(
            "specialise",
            "experts",
            name,
            partial(specialise, name),
            settings=config.model_dump(),
            components=[("trainer", str(config.trainer))],
            inputs={"data": plan.of("curate")[name]},
            size="1 expert",
            foresee=foresee_training,
        )


def _adopted(plan: Plan, name: str, adapter: Path) -> None:
    from selfmoe.mixture.adapters import adapter_hash

    task = plan.add(
        "specialise",
        "experts",
        name,
        partial(adopt, name, adapter),
        settings={"adapter": adapter_hash(adapter)},
        size="1 expert from outside",
        seeded=False,
    )
    if task.problem():
        _check_fits(plan, name, adapter)  # what is wrong is said now, before anything is made


def _check_fits(plan: Plan, name: str, adapter: Path) -> None:
    """Refuse an adapter that does not fit the base, or that a router of the run cannot weigh."""
    from selfmoe.mixture.sites.compatibility import check_expert, skeleton

    entries = (plan.config.compose or {}).values()
    routed = any(e.router and (e.experts is None or name in e.experts) for e in entries)
    if (model := skeleton(plan.base.path)) is not None:
        check_expert(name, adapter, model, routed=routed, blocks=plan.config.blocks)


def specialise(name: str, job: Job) -> None:
    """Write a PEFT adapter folder with ``training.json``, the losses and counts."""
    from selfmoe.mixture.adapters import read_factors

    data = read_examples(job.input("data"))
    with job.session.fitting(job.task.name) as fit:
        context = TrainContext(job.session.base, data, fit, job.seed("train"), job.work, job.out)
        report = job.session.trainer().train(context)
    changed = adapted(job.session.base, read_factors(job.out))  # what nothing composes is no expert
    facts = {"expert": name, "examples": len(data), **report, **changed}
    write_json(job.out / "training.json", facts)


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
