"""Stage 7: every system answers every benchmark; one cell a pair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.names import BenchmarkName, EvaluationName
from selfmoe.contracts.records import Score, System, Template
from selfmoe.evaluation.benchmarks import check_items
from selfmoe.mixture.systems import attached
from selfmoe.models.tokens import prompt_ids
from selfmoe.pipeline.systems import systems_of
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.store.files import write_json, write_jsonl
from selfmoe.store.shards import Row, shards_in

if TYPE_CHECKING:
    from selfmoe.config.model import EvaluateConfig
    from selfmoe.mixture.handle import Mixture
    from selfmoe.pipeline.plan import Plan
    from selfmoe.pipeline.session import Session


def plan(plan: Plan) -> None:
    """Add one task for each pair of a system of the run and a benchmark."""
    ask(plan, systems_of(plan))


def ask(plan: Plan, systems: Iterable[tuple[System, Task | None]]) -> None:
    """Add one task for each pair of a system and a benchmark.

    Args:
        plan: What they are added to.
        systems: Every system with the task that makes it (none for the base).
    """
    for system, made_by in systems:
        for domain in plan.domains:
            for benchmark in plan.choices[domain.name].asked:
                ask_one(plan, system, made_by, domain, benchmark)


def ask_one(
    plan: Plan, system: System, made_by: Task | None, domain: Domain, benchmark: Benchmark
) -> Task:
    """Add the task in which a system answers a benchmark, and return it."""
    config = plan.config.evaluate
    settings = config.model_dump(exclude={"base_shots", "benchmarks"})
    asked = template_for(system, benchmark, config, plan.base.template.name)
    if asked in ("chat", "bare"):
        settings["prompts"] = plan.told(asked)
    basis = Basis(
        {
            **settings,
            "shots": system.shots,
            "source": plan.sources(benchmark.files()),
            "conditions": dict(benchmark.conditions()),
        },
        components=[("domain", domain.name)],
        inputs={"system": made_by} if made_by else {},
        seeded=False,
        without=() if made_by else ("selfmoe.mixture",),
        writes=made_by is None,
    )
    return plan.add(
        "evaluate",
        str(EvaluationName(system.name, BenchmarkName(domain.name, benchmark.name))),
        partial(evaluate, system, domain, benchmark),
        basis,
        size=f"up to {config.limit} items" if config.limit else "all items",
        folder_label=system.name,
        outdated=outdated,
        foresee=None if made_by else partial(foresee_answers, benchmark),
        amount=partial(_items, benchmark, config.limit),
        shards=partial(shards, benchmark),
    )


def _items(benchmark: Benchmark, limit: int | None) -> int:
    """Return how many items are asked."""
    return min(limit or 2**31, len(benchmark.items))


def template_for(
    system: System, benchmark: Benchmark, config: EvaluateConfig, trained: Template
) -> str:
    """Return the template in which a system is asked a benchmark; see ``Setup.template``.

    What the settings say of evaluation goes before what the benchmark declares; one that declares
    Alpaca's is asked as experts were trained. Rows with solved examples show these as the respond
    stage does.

    Args:
        system: Who is asked.
        benchmark: What.
        config: The settings.
        trained: The template that experts are trained in.
    """
    as_trained = "bare" if trained == "plain" else trained
    declared = as_trained if benchmark.template == "alpaca" else benchmark.template
    asked = config.template or declared
    return asked if system.shots is None or asked == "chat" else "examples"


def foresee_answers(benchmark: Benchmark, session: Session) -> None:
    """Let a backend be refused, before anything is done, that the benchmark cannot be asked with.

    Raises:
        NotSupportedError: If items are decided by likelihoods and it gives none.
        StageError: If it cannot be reached, or does not have the base.
    """
    remote = session.remote("evaluate")
    items = benchmark.items[:1]
    if remote is not None and items and benchmark.choices(items[0]) is not None:
        ids = prompt_ids(session.base.tokenizer, "1, 2, 3,")
        remote.likelihoods([(ids[:-1], ids[-1:])], context=session.base.context)


def shards(benchmark: Benchmark, task: Task, session: Session) -> int:
    """Return how many shards of answers there will be, none of which depends on another."""
    from selfmoe.evaluation.bridge import shard_size

    config = session.config.evaluate
    return shards_in(len(benchmark.items[: config.limit]), shard_size(config.batch_size))


def evaluate(system: System, domain: Domain, benchmark: Benchmark, job: Job) -> None:
    """Write ``<domain>.<benchmark>.json`` and ``.samples.jsonl``.

    Where tokens are routed, ``.traces.jsonl`` follows a few samples token by token.
    """
    session = job.session
    check_items(domain.name, benchmark)
    if system.shots is not None and not _can_show(benchmark, system.shots, job):
        return
    path = job.input("system") if "system" in job.task.inputs else None
    with attached(session.base, system, path, session.config.registry) as placed:
        # for those that route by it; all others are blind to it
        told = nullcontext() if placed is None else placed.annotate(domain=[domain.name])
        with told:
            _one(system, domain, benchmark, job, placed)


def _can_show(benchmark: Benchmark, shots: int, job: Job) -> bool:
    """Return whether a row with solved examples makes sense beside the benchmark's own."""
    if benchmark.shots == 0 and len(benchmark.pool) < shots:
        job.session.display.warn(
            f"{job.task.name}: no row with {shots} examples, {benchmark.name} has only "
            f"{len(benchmark.pool)} to show; lower evaluate.base_shots"
        )
    return benchmark.shots == 0 and len(benchmark.pool) >= shots


def outdated(folder: Path) -> str | None:
    """Return why finished scores should be made again: there was no sandbox, now there is one."""
    for path in sorted(folder.glob("*.json")):
        if json.loads(path.read_text("utf-8")).get("not_run"):
            from selfmoe.evaluation.sandbox import best_tier

            if best_tier() is not None:
                return f"{path.name} was not run for want of a sandbox, and now there is one"
    return None


def _one(
    system: System, domain: Domain, benchmark: Benchmark, job: Job, placed: Mixture | None
) -> None:
    session, name = job.session, BenchmarkName(domain.name, benchmark.name)
    score, rows = _answered(system, domain, benchmark, job)
    routing = None
    if placed is not None and placed.gate is not None and rows:
        from selfmoe.evaluation.routing import measure_routing
        from selfmoe.evaluation.traces import trace_samples

        routing = measure_routing(placed, session.base, rows, session.config.evaluate.batch_size)
        traces = trace_samples(placed, session.base, rows)
        write_jsonl(job.out / f"{name.stem}.traces.jsonl", traces)
    facts = {
        "benchmark": str(name),
        "role": benchmark.role,
        "labelled": placed is not None and "labels_at_inference" in placed.needs,
    }
    write_json(job.out / f"{name.stem}.json", {**facts, **_plain(score), "routing": routing})
    write_jsonl(job.out / f"{name.stem}.samples.jsonl", rows)


def _answered(
    system: System, domain: Domain, benchmark: Benchmark, job: Job
) -> tuple[Score, list[Row]]:
    """Return the score of what is attached now, and one row an item."""
    from selfmoe.evaluation.bridge import Setup
    from selfmoe.evaluation.bridge import evaluate as ask
    from selfmoe.evaluation.prepared import Prepared

    session, config = job.session, job.session.config.evaluate
    setup = Setup(
        limit=config.limit,
        batch_size=config.batch_size,
        template=template_for(system, benchmark, config, session.base.template),
        shots=system.shots,
        fewshot_seed=config.fewshot_seed,
        overflow=config.overflow,
        unsafe_code=config.unsafe_code,
    )
    name = BenchmarkName(domain.name, benchmark.name)
    remote = session.remote("evaluate") if system.kind == "base" else None
    with session.display.work(f"evaluate {system.name} on {name}") as tell:
        return ask(
            session.base.model,
            session.base.tokenizer,
            benchmark,
            setup,
            benchmark_id=str(name),
            context=session.base.context,
            work=job.work / name.stem,
            tell=tell,
            prepared=session.kept(Prepared),
            remote=remote and remote.keeping(job.work / name.stem / "answers"),
            share=job.share,
        )


def _plain(score: Score) -> Mapping[str, Any]:
    """Return a score as JSON-ready values; a missing number is null, never nan."""
    values = asdict(score)
    return {k: None if isinstance(v, float) and isnan(v) else v for k, v in values.items()}
