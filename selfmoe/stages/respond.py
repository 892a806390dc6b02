"""Stage 3: the base model answers its own tasks, with solved seeds in context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from selfmoe.components import Domain
from selfmoe.files import read_jsonl, write_jsonl
from selfmoe.plan import Job, Plan
from selfmoe.records import Instruction, Seed
from selfmoe.stages.batches import Row, batch, fit_shots, pick, read_seeds

if TYPE_CHECKING:
    from selfmoe.generation import Continuation


def plan(plan: Plan) -> None:
    """Add one task a domain."""
    config = plan.config.respond
    unused = set() if config.samples else {"temperature"}
    for domain in plan.domains:
        plan.add(
            "respond",
            "respond",
            domain.name,
            partial(respond, domain),
            settings=config.model_dump(exclude=unused) | {"track": plan.config.track},
            components=[("domain", domain.name)],
            inputs={
                "seeds": plan.of("seeds")[domain.name],
                "instructions": plan.of("brainstorm")[domain.name],
            },
            size=f"up to {plan.config.brainstorm.n} responses",
        )


def respond(domain: Domain, job: Job) -> None:
    """Write ``responses.jsonl``: every instruction with its answer, or with why it has none.

    ``samples`` holds what was drawn besides the greedy answer, as far as it ended by itself.
    """
    config = job.session.config.respond
    seeds = read_seeds(job.input("seeds"))
    tasks = read_jsonl(job.input("instructions") / "instructions.jsonl")
    # Batches of similar length waste less on padding; the order is a function of the tasks.
    tasks.sort(key=lambda task: (len(task["instruction"]) + len(task["input"]), task["id"]))
    rows: list[Row] = []
    with job.session.display.work(job.task.name) as update:
        for index, first in enumerate(range(0, len(tasks), config.batch_size)):
            part = tasks[first : first + config.batch_size]
            rows += batch(job.work, index, partial(_answer, job, domain, seeds, part, index))
            update(len(rows), len(tasks))
    if len(rows) < job.session.config.brainstorm.n:
        job.remarks.append(f"{len(rows)} came")
    write_jsonl(job.out / "responses.jsonl", sorted(rows, key=lambda row: str(row["id"])))


def _answer(job: Job, domain: Domain, seeds: list[Seed], tasks: list[Row], index: int) -> list[Row]:
    """Return one batch of tasks with responses."""
    config, base = job.session.config.respond, job.session.base
    prompts = domain.prompts(job.session.config.source)
    rows: list[Row] = []
    asked: list[str] = []
    for task in tasks:
        shots = pick(seeds, config.shots, job.seed("shots", task["id"]))
        instruction = Instruction(task["instruction"], task["input"])
        text, used = fit_shots(
            lambda few, instruction=instruction: prompts.respond(few, instruction),  # type: ignore[misc]
            shots,
            base.tokenizer,
            base.context - config.max_new_tokens,
        )
        shown = [seed.id for seed in shots[:used]]
        rows.append({**task, "response": "", "problem": None, "solved_seeds": shown})
        if text is None:
            rows[-1]["problem"] = "prompt too long"
        else:
            asked.append(text)
    answered = [row for row in rows if row["problem"] is None]
    for number in range(1 + config.samples if asked else 0):
        for row, new in zip(
            answered, _written(job, asked, prompts.stop, index, number), strict=True
        ):
            if number == 0:
                row["response"] = new.text.strip()
                row["problem"] = None if new.finished else "unfinished response"
            elif new.finished:
                row.setdefault("samples", []).append(new.text.strip())
    return rows


def _written(
    job: Job, asked: list[str], stop: Sequence[str], index: int, number: int
) -> list[Continuation]:
    """Return the greedy continuations of a batch (number 0) or one draw of them."""
    from selfmoe.generation import Sampling, generate

    config, base = job.session.config.respond, job.session.base
    drawn = Sampling(config.temperature, 1.0, job.seed("sample", index, number))
    return generate(
        base.model,
        base.tokenizer,
        asked,
        max_new_tokens=config.max_new_tokens,
        stop=stop,
        sampling=drawn if number else None,
    )
