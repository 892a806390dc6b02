"""Stage 3: the base model answers its own tasks, with solved seeds in context."""

from __future__ import annotations

from functools import partial

from selfmoe.components import Domain
from selfmoe.files import read_jsonl, write_jsonl
from selfmoe.plan import Job, Plan
from selfmoe.records import Instruction, Seed
from selfmoe.stages.batches import Row, batch, fit_shots, pick, read_seeds


def plan(plan: Plan) -> None:
    """Add one task a domain."""
    for domain in plan.domains:
        plan.add(
            "respond",
            "respond",
            domain.name,
            partial(respond, domain),
            settings=plan.config.respond.model_dump() | {"track": plan.config.track},
            components=[("domain", domain.name)],
            inputs={
                "seeds": plan.of("seeds")[domain.name],
                "instructions": plan.of("brainstorm")[domain.name],
            },
            size=f"up to {plan.config.brainstorm.n} responses",
        )


def respond(domain: Domain, job: Job) -> None:
    """Write ``responses.jsonl``: every instruction with its answer, or with why it has none."""
    config = job.session.config.respond
    seeds = read_seeds(job.input("seeds"))
    tasks = read_jsonl(job.input("instructions") / "instructions.jsonl")
    # Batches of similar length waste less on padding; the order is a function of the tasks.
    tasks.sort(key=lambda task: (len(task["instruction"]) + len(task["input"]), task["id"]))
    rows: list[Row] = []
    with job.session.display.work(job.task.name) as update:
        for index, first in enumerate(range(0, len(tasks), config.batch_size)):
            part = tasks[first : first + config.batch_size]
            rows += batch(job.work, index, partial(_answer, job, domain, seeds, part))
            update(len(rows), len(tasks))
    write_jsonl(job.out / "responses.jsonl", sorted(rows, key=lambda row: str(row["id"])))


def _answer(job: Job, domain: Domain, seeds: list[Seed], tasks: list[Row]) -> list[Row]:
    """Return one batch of tasks with responses."""
    from selfmoe.generation import generate

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
    if not asked:
        return rows
    written = iter(
        generate(
            base.model,
            base.tokenizer,
            asked,
            max_new_tokens=config.max_new_tokens,
            stop=prompts.stop,
        )
    )
    for row in rows:
        if row["problem"] is None:
            new = next(written)
            row["response"] = new.text.strip()
            row["problem"] = None if new.finished else "unfinished response"
    return rows
