"""Stage 6: the experts become one model, by a router or by a merge."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from selfmoe.components import ComposeContext
from selfmoe.errors import ConfigError, counted
from selfmoe.files import write_json
from selfmoe.plan import Job, Plan
from selfmoe.records import Expert
from selfmoe.stages.curate import read_examples


def plan(plan: Plan) -> None:
    """Add one task a system; all see the same experts and the union of all data."""
    trainer = plan.config.specialise
    experts = {f"expert {name}": task for name, task in plan.of("specialise").items()}
    data = {f"data {name}": task for name, task in plan.of("curate").items()}
    for label, entry in (plan.config.compose or {}).items():
        kind, name = entry.component
        composer = plan.config.registry.configure(kind, name, entry.options)
        if problem := composer.check(len(experts)):
            raise ConfigError(f"compose.{label}: {problem}")
        plan.add(
            "compose",
            "compositions",
            label,
            partial(compose, label),
            settings={**entry.model_dump(), "trainer": trainer.model_dump()},
            components=[entry.component, ("trainer", str(trainer.trainer))],
            inputs={**experts, **data},
            size=counted(len(experts), "expert"),
            version=2,
        )


def compose(label: str, job: Job) -> None:
    """Write ``composition.json``, ``tensors.safetensors`` and any adapters it brings itself.

    ``training.json`` holds the losses of whatever was fitted on the way.
    """
    from selfmoe.mixture import storage

    session = job.session
    entry = (session.config.compose or {})[label]
    kind, name = entry.component
    composer = session.config.registry.configure(kind, name, entry.options)
    experts, data = {}, []
    for role in job.task.inputs:
        what, _, domain = role.partition(" ")
        if what == "expert":
            experts[domain] = Expert(domain, job.input(role))
        else:
            data += read_examples(job.input(role))
    with session.fitting(job.task.name) as fit:
        context = ComposeContext(
            session.base, experts, data, session.trainer(), fit, job.seed("compose"), job.work
        )
        composition = composer.compose(context)
    storage.save(composition, job.out, base_hash=session.base.hash)
    fits = [{"label": label, **asdict(report)} for label, report in fit.history]
    write_json(job.out / "training.json", {"fits": fits})
