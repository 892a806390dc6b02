"""Stage 5: one expert a domain, trained on what the base wrote for that domain."""

from __future__ import annotations

from functools import partial

from selfmoe.components import TrainContext
from selfmoe.files import write_json
from selfmoe.plan import Job, Plan
from selfmoe.stages.curate import read_examples


def plan(plan: Plan) -> None:
    """Add one task a domain; an expert has the name of its domain."""
    config = plan.config.specialise
    for domain in plan.domains:
        plan.add(
            "specialise",
            "experts",
            domain.name,
            partial(specialise, domain.name),
            settings=config.model_dump(),
            components=[("trainer", str(config.trainer))],
            inputs={"data": plan.of("curate")[domain.name]},
            size="1 expert",
        )


def specialise(name: str, job: Job) -> None:
    """Write a PEFT adapter folder with ``training.json``, the losses and counts."""
    from selfmoe.mixture.adapters import read_factors

    data = read_examples(job.input("data"))
    with job.session.fitting(job.task.name) as fit:
        context = TrainContext(job.session.base, data, fit, job.seed("train"), job.work, job.out)
        report = job.session.trainer().train(context)
    read_factors(job.out)  # what cannot be composed is no expert
    write_json(job.out / "training.json", {"expert": name, "examples": len(data), **report})
