"""Stage 6: the experts become one model, by a router or by a merge.

A composition that ``extend``s is made in steps: first of the experts before, then one more at a
time joins, and what was there stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.contracts.composer import ComposeContext, Composer
from selfmoe.contracts.errors import ConfigError, counted
from selfmoe.contracts.records import Expert
from selfmoe.pipeline.demonstrations import Demonstrations
from selfmoe.pipeline.fitting import fitting
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.task import Basis, Job, Task, examples_seen
from selfmoe.registry.registry import Registry
from selfmoe.store.files import write_json

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan

START = "composition"
"""Role of the composition that experts are added to."""


def plan(plan: Plan) -> None:
    """Add one task a system, and one for each step to a system that is extended.

    Systems see their experts and the union of the data of these.

    Raises:
        ConfigError: If a composer cannot work with so many experts, or cannot be extended.
    """
    for label, entry in (plan.config.compose or {}).items():
        composer = _configured(plan.config.registry, entry)
        steps = list(_steps(entry.experts or plan.config.experts, entry.extend))
        if problem := composer.check(len(steps[-1])):
            raise ConfigError(f"compose.{label}: {problem}")
        if steps[1:] and type(composer).extend is Composer.extend:
            raise ConfigError(
                f"compose.{label}.extend: {composer.kind} '{composer.name}' cannot be extended; "
                "leave extend out to compose anew"
            )
        made: Task | None = None
        for step in steps:
            made = _add(plan, label, entry, step, made, last=step is steps[-1])


def _steps(experts: Sequence[str], extend: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the experts of every step: what is composed anew, then one more each."""
    start = max(place for place, name in enumerate(experts, start=1) if name not in extend)
    for end in range(start, len(experts) + 1):
        yield experts[:end]


def _add(
    plan: Plan,
    label: str,
    entry: ComposeConfig,
    experts: Sequence[str],
    start: Task | None,
    *,
    last: bool,
) -> Task:
    trainer = plan.config.specialise
    made, data = plan.of("specialise"), plan.of("curate")
    inputs = {f"expert {name}": made[name] for name in experts}
    inputs |= {f"data {name}": data[name] for name in experts if name in data}
    drawn = f", composer seed {plan.composer_seed}" if plan.composer_seed else ""
    # which experts, and which of them were added, the inputs say
    settings = entry.model_dump(exclude={"experts", "extend"})
    settings["trainer"] = trainer.model_dump(exclude={"experts", "packed"})
    basis = Basis(
        settings | plan.template,
        components=[entry.component, ("trainer", str(trainer.trainer))],
        inputs=inputs | ({START: start} if start else {}),
        draw=plan.composer_seed,
    )
    return plan.add(
        "compose",
        label,
        partial(compose, label),
        basis,
        size=counted(len(experts), "expert") + drawn,
        name=label if last else f"{label} of {', '.join(experts)}",
        amount=partial(_amount, plan.config, entry, len(experts)),
    )


def _amount(config: RunConfig, entry: ComposeConfig, experts: int) -> int:
    """Return how many examples are seen, if a composer of so many experts sees any."""
    options = {**config.specialise.options, **entry.options}
    return examples_seen(options, config.most_examples * experts)


def _configured(names: Registry, entry: ComposeConfig) -> Composer:
    kind, name = entry.component
    composer: Composer = names.configure(kind, name, entry.options)
    return composer


def compose(label: str, job: Job) -> None:
    """Write ``composition.json``, ``tensors.safetensors`` and any adapters it brings itself.

    ``training.json`` holds the losses of whatever was fitted on the way.
    """
    from selfmoe.mixture import storage

    session = job.session
    composer = _configured(session.config.registry, (session.config.compose or {})[label])
    experts, data, cells = {}, [], {}
    for role in job.task.inputs:
        what, _, name = role.partition(" ")
        if what == "expert":
            experts[name] = Expert(name, job.input(role))
        elif what == "data":
            data += read_examples(job.input(role))
            cells[name] = job.input(role)
    with fitting(job) as fit:
        context = ComposeContext(
            base=session.base,
            experts=experts,
            data=data,
            trainer=session.trainer(),
            fit=fit,
            seed=job.seed("compose"),
            work=job.work,
            refer=storage.reference,
            teacher=Demonstrations(session.config, cells, session.base),
        )
        if START in job.task.inputs:
            start = storage.read_composition(job.input(START), base_hash=session.base.hash)
            composition = composer.extend(start, context)
        else:
            composition = composer.compose(context)
    storage.write_composition(composition, job.out, base_hash=session.base.hash)
    fits = [{"label": label, **asdict(report)} for label, report in fit.history]
    write_json(job.out / "training.json", {"fits": fits})
