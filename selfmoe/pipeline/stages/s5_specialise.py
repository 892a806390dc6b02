"""Stage 5: one expert a domain, trained on what the base wrote for that domain.

An expert may also come from outside, as a PEFT LoRA folder (``adapters``): it is taken as it is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from selfmoe.contracts.trainer import TrainContext
from selfmoe.pipeline.adoption import plan_adopted
from selfmoe.pipeline.demonstrations import Demonstrations
from selfmoe.pipeline.fitting import fitting
from selfmoe.pipeline.foresight import adapted, foresee_training
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.task import Basis, Job, passes
from selfmoe.store.files import write_json

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan


def plan(plan: Plan) -> None:
    """Add one task an expert; an expert has the name of its domain, if it has one."""
    config = plan.config.specialise
    for name in plan.config.experts:
        if (adapter := plan.config.adapters.get(name)) is not None:
            plan_adopted(plan, name, adapter)
            continue
        basis = Basis(
            {"trainer": config.trainer, "options": config.options_of(name)} | plan.template,
            components=[("trainer", str(config.trainer))],
            inputs={"data": plan.of("curate")[name]},
            without=("selfmoe.pipeline.adoption",),
        )
        plan.add(
            "specialise",
            name,
            partial(specialise, name),
            basis,
            size="1 expert",
            foresee=foresee_training,
            amount=partial(passes, config.options_of(name), plan.config.most_examples),
        )


def specialise(name: str, job: Job) -> None:
    """Write a PEFT adapter folder with ``training.json``, the losses and counts."""
    from selfmoe.mixture.adapters import read_factors

    data, base = read_examples(job.input("data")), job.session.base
    teacher = Demonstrations(job.session.config, {name: job.input("data")}, base)
    with fitting(job) as fit:
        context = TrainContext(base, data, fit, job.seed("train"), job.work, job.out, teacher)
        report = job.session.trainer(name).train(context)
    changed = adapted(base, read_factors(job.out))  # what nothing composes is no expert
    facts = {"expert": name, "examples": len(data), **report, **changed}
    write_json(job.out / "training.json", facts)
