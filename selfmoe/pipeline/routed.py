"""Where a router sends each item, and where it sends the same task in other words.

Part of claims, not of a run: one cell for a routed system and a benchmark that it has answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.names import BenchmarkName, EvaluationName
from selfmoe.contracts.records import System
from selfmoe.mixture.systems import attached
from selfmoe.pipeline.stages.s7_evaluate import template_for
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.store.cells import ROUTES
from selfmoe.store.files import read_jsonl, write_jsonl
from selfmoe.store.shards import Row

if TYPE_CHECKING:
    from selfmoe.mixture.handle import Mixture
    from selfmoe.pipeline.plan import Plan

Shares = dict[str, dict[str, float]]
"""``prompt`` or ``response`` -> expert -> share of the weight of these tokens, 0..1."""


def route(
    plan: Plan, system: System, made_by: Task, answers: Task, of: tuple[Domain, Benchmark]
) -> Task:
    """Add the task that looks at where a system's answers to a benchmark were routed; return it.

    Args:
        plan: What it is added to.
        system: A routed system.
        made_by: The task that makes it.
        answers: The task in which it answers the benchmark.
        of: The benchmark, after its domain.
    """
    domain, benchmark = of
    return plan.add(
        "route",
        str(EvaluationName(system.name, BenchmarkName(domain.name, benchmark.name))),
        partial(look, system, domain, benchmark),
        Basis(
            {"source": plan.sources(benchmark.files())},
            components=[("domain", domain.name)],
            inputs={"system": made_by, "answers": answers},
            seeded=False,
        ),
        size=answers.size,
        amount=answers.amount,
        folder_label=system.name,
    )


def look(system: System, domain: Domain, benchmark: Benchmark, job: Job) -> None:
    """Write ``routes.jsonl``: of each item the shares of the experts, and those of its rewording.

    The rewording is answered anew; ``reworded`` is null where the benchmark has none, or asks it in
    the same words.
    """
    name = BenchmarkName(domain.name, benchmark.name)
    rows = read_jsonl(job.input("answers") / f"{name.stem}.samples.jsonl")
    path = job.input("system")
    with attached(job.session.base, system, path, job.session.config.registry) as placed:
        assert placed is not None
        with placed.annotate(domain=[domain.name]):
            others = _reworded(system, benchmark, job, rows)
            write_jsonl(job.out / ROUTES, list(_routes(placed, job, rows, others)))


def _reworded(
    system: System, benchmark: Benchmark, job: Job, rows: Sequence[Row]
) -> Mapping[str, Row]:
    """Return the answers to what is asked in other words, by item."""
    docs = benchmark.items[: len(rows)]
    if not any(benchmark.reworded(doc) for doc in docs):
        return {}
    from selfmoe.evaluation.bridge import Setup, evaluate

    session, config = job.session, job.session.config.evaluate
    setup = Setup(
        limit=len(rows),
        batch_size=config.batch_size,
        template=template_for(system, benchmark, config, session.base.template),
        fewshot_seed=config.fewshot_seed,
        unsafe_code=config.unsafe_code,
    )
    with session.display.work(job.task.name) as tell:
        _, answered = evaluate(
            session.base.model,
            session.base.tokenizer,
            in_other_words(benchmark),
            setup,
            benchmark_id=job.task.label,
            context=session.base.context,
            work=job.work / "reworded",
            tell=tell,
        )
    asked = {row["id"]: row["prompt"] for row in rows}
    return {row["id"]: row for row in answered if row["prompt"] != asked.get(row["id"])}


def in_other_words(benchmark: Benchmark) -> Benchmark:
    """Return a benchmark that asks its items in other words, where it knows any."""
    other = copy(benchmark)
    vars(other)["ask"] = lambda doc: benchmark.reworded(doc) or benchmark.ask(doc)
    return other


def _routes(
    placed: Mixture, job: Job, rows: Sequence[Row], others: Mapping[str, Row]
) -> Iterator[dict[str, Any]]:
    with job.session.display.work(job.task.name) as update:
        for number, row in enumerate(rows, start=1):
            other = others.get(row["id"])
            yield {
                "id": row["id"],
                **shares_of(placed, job, row),
                "reworded": shares_of(placed, job, other) if other else None,
            }
            update(number, len(rows))


def shares_of(placed: Mixture, job: Job, row: Row) -> Shares:
    """Return the experts' shares of the weight of a prompt's tokens, and of its answer's.

    A part that has no token, or none with any weight, is left out.
    """
    from selfmoe.evaluation.traces import weights_of
    from selfmoe.models.tokens import answered_ids

    base = job.session.base
    ids, start = answered_ids(base.tokenizer, row["prompt"], row["completion"])
    weights = weights_of(placed, base, ids, start)
    parts = {"prompt": weights[:start], "response": weights[start:]}
    means = {part: [fmean(w) for w in zip(*found, strict=True)] for part, found in parts.items()}
    return {
        part: {e: round(w / sum(mean), 6) for e, w in zip(placed.experts, mean, strict=True)}
        for part, mean in means.items()
        if sum(mean) > 0
    }
