"""Stage 5: one expert a domain, trained on what the base wrote for that domain.

An expert may also come from outside, as a PEFT LoRA folder (``adapters``): it is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from selfmoe.contracts.randomness import derive
from selfmoe.contracts.trainer import TrainContext
from selfmoe.pipeline.adoption import plan_adopted
from selfmoe.pipeline.demonstrations import Demonstrations
from selfmoe.pipeline.fitting import fitting
from selfmoe.pipeline.foresight import adapted, foresee_training
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.task import Basis, Job, Task, examples_seen
from selfmoe.store.files import write_json

if TYPE_CHECKING:
    from selfmoe.models.fitting.loop import Fit
    from selfmoe.pipeline.plan import Plan


def plan(plan: Plan) -> None:
    """Add one task an expert; an expert has the name of its domain, if it has one."""
    config = plan.config.specialise
    trained: dict[str, Task] = {}
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
        trained[name] = plan.add(
            "specialise",
            name,
            partial(specialise, name, trained),
            basis,
            size="1 expert",
            foresee=foresee_training,
            amount=partial(examples_seen, config.options_of(name), plan.config.most_examples),
        )


def specialise(name: str, experts: Mapping[str, Task], job: Job) -> None:
    """Write a PEFT adapter folder with ``training.json``, the losses and counts.

    Args:
        name: The expert.
        experts: The tasks of all experts that are trained, by name.
        job: The expert's own.
    """
    from selfmoe.mixture.adapters import read_factors
    from selfmoe.pipeline.packed import trained_with_others

    base, report = job.session.base, None
    if job.session.config.specialise.packed:
        report = trained_with_others(name, experts, job, partial(_context, job))
    if report is None:
        with fitting(job) as fit:
            report = job.session.trainer(name).train(_context(job, name, job.task, fit))
    changed = adapted(base, read_factors(job.out))  # what nothing composes is no expert
    facts = {"expert": name, "examples": len(read_examples(job.input("data")))}
    write_json(job.out / "training.json", {**facts, **report, **changed})


def _context(job: Job, name: str, task: Task, fit: Fit) -> TrainContext:
    """Return what the trainer of an expert works with."""
    session, data = job.session, task.inputs["data"].cell.path
    teacher = Demonstrations(session.config, {name: data}, session.base)
    seed = derive(task.seed, "train")
    return TrainContext(session.base, read_examples(data), fit, seed, job.work, job.out, teacher)
