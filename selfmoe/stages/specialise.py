"""Stage 5: one expert a domain, trained on what the base wrote for that domain.

An expert may also come from outside, as a PEFT LoRA folder (``adapters``): it is taken as it is.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from selfmoe.components import TrainContext
from selfmoe.files import write_json
from selfmoe.plan import Job, Plan
from selfmoe.stages.curate import read_examples
from selfmoe.systems import EXPERT, System, attached


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
        )


def _adopted(plan: Plan, name: str, adapter: Path) -> None:
    from selfmoe.mixture.adapters import adapter_hash

    plan.add(
        "specialise",
        "experts",
        name,
        partial(adopt, name, adapter),
        settings={"adapter": adapter_hash(adapter)},
        size="1 expert from outside",
        seeded=False,
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


def adopt(name: str, adapter: Path, job: Job) -> None:
    """Write a copy of an adapter from outside; warns if it was made for another base.

    Raises:
        CompositionError: If it does not fit the base, or is no plain LoRA.
    """
    from selfmoe.mixture.adapters import CONFIG, WEIGHTS, read_config

    base = job.session.base
    for file in (CONFIG, WEIGHTS):
        shutil.copyfile(adapter / file, job.out / file)
    with attached(base, System(f"{EXPERT}{name}", "expert"), job.out, job.session.config.registry):
        pass  # shapes are checked against the base's
    made_for = str(read_config(job.out).get("base_model_name_or_path") or "a base it does not name")
    if made_for != base.name:
        job.session.display.warn(
            f"{job.task.name}: {adapter} was made for '{made_for}', this run's base is "
            f"'{base.name}'; its shapes fit, whether it does only scores will tell"
        )
    write_json(job.out / "training.json", {"expert": name, "adopted": adapter.name})
