"""Stage 4: what is malformed, repeated, leaked from a benchmark or refused does not get through.

Every drop is counted by its reason; the first reason that applies is the one that counts.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Example
from selfmoe.evaluation.benchmarks import files_of, guarded_splits
from selfmoe.evaluation.code import allow_unsafe
from selfmoe.pipeline.curation.agreement import settle
from selfmoe.pipeline.curation.duplicates import Duplicates
from selfmoe.pipeline.curation.given import given, tasks
from selfmoe.pipeline.curation.length import TooLong
from selfmoe.pipeline.curation.overlap import Overlap
from selfmoe.pipeline.records import read_yield
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.store.files import read_jsonl, write_json, write_jsonl
from selfmoe.store.shards import Row

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan

Check = Callable[[Example], str | None]


def plan(plan: Plan) -> None:
    """Add one task a domain; its result is what experts are trained on."""
    source, named = plan.config.source, plan.config.evaluate.benchmarks
    for domain in plan.domains:
        verifies = plan.config.curate.verifies(domain.name)
        guards = list(guarded_splits(domain, source, named))
        basis = Basis(
            plan.config.curate.model_dump()
            | {
                "verify": verifies,
                "source": plan.sources(files_of(benchmark for _, benchmark in guards)),
                "clear_of": sorted([benchmark.name, split] for split, benchmark in guards),
            }
            | plan.template,
            components=[("domain", domain.name)],
            inputs=_inputs(plan, domain.name),
        )
        most, run = plan.config.most_examples, partial(curate, domain)
        size, amount = f"up to {most} examples", partial(int, most)
        task = plan.add("curate", domain.name, run, basis, size=size, amount=amount)
        if verifies and domain.verifies_by_running and task.problem():
            _need_sandbox(domain, plan.config)


def _inputs(plan: Plan, domain: str) -> dict[str, Task]:
    """Return what a domain's data is made of, by role."""
    seeds = {"seeds": plan.of("seeds")[domain]}
    if plan.config.curate.data == "seeds":
        return seeds
    made = {"instructions": plan.of("brainstorm"), "responses": plan.of("respond")}
    return seeds | {role: tasks[domain] for role, tasks in made.items()}


def _need_sandbox(domain: Domain, config: RunConfig) -> None:
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None and not config.evaluate.unsafe_code:
        raise StageError(
            f"curate.verify runs the answers of domain '{domain.name}', and there is no sandbox "
            "here\n  See why: selfmoe doctor. Leave curate.verify out, or set "
            "evaluate.unsafe_code=true to run them all the same."
        )


def curate(domain: Domain, job: Job) -> None:
    """Write ``examples.jsonl`` and ``yield.json``, and copies of seeds and instructions.

    Raises:
        StageError: If fewer than ``curate.min_examples`` are left.
    """
    config, overlap = job.session.config.curate, Overlap(domain, job)
    made = config.data == "made"
    rows = read_jsonl(job.input("responses") / "responses.jsonl") if made else given(job)
    checks: list[Check] = [
        lambda example: None if example.response else "empty response",
        TooLong(job),
        partial(_refused, domain, job),
        *([partial(_wrong, domain, job)] if config.verifies(domain.name) else []),
        *([overlap] if config.contamination else []),
        *([Duplicates(domain, job)] if made else []),
    ]
    kept, dropped = _sorted_out(job, rows, checks, partial(_agreed, domain, job))
    kept, dropped = _cut(kept, dropped, config.share)
    counts = _counts(job, rows, kept, dropped, overlap)
    job.remarks.append(f"{len(kept)} kept")
    if len(kept) < config.min_examples:
        raise StageError(_too_few(domain.name, len(kept), len(rows), dropped, config.min_examples))
    shutil.copyfile(job.input("seeds") / "seeds.jsonl", job.out / "seeds.jsonl")
    if made:
        name = "instructions.jsonl"
        shutil.copyfile(job.input("instructions") / name, job.out / name)
    else:
        write_jsonl(job.out / "instructions.jsonl", tasks(rows))
    write_jsonl(job.out / "examples.jsonl", [example.to_json() for example in kept])
    write_json(job.out / "yield.json", counts)


def _sorted_out(
    job: Job,
    rows: Sequence[Row],
    checks: Sequence[Check],
    agreed: Callable[[Row], tuple[Example, str | None]],
) -> tuple[list[Example], Counter[str]]:
    """Return the examples that get through, and how many do not, by the first reason."""
    kept: list[Example] = []
    dropped: Counter[str] = Counter()
    with job.session.display.work(job.task.name) as update:
        for number, row in enumerate(rows, start=1):
            example, problem = agreed(row)
            reason = problem or next(filter(None, (c(example) for c in checks)), None)
            if reason:
                dropped[str(reason)] += 1
            else:
                kept.append(example)
            update(number, len(rows))
    return kept, dropped


def _cut(
    kept: Sequence[Example], dropped: Counter[str], share: float
) -> tuple[list[Example], Counter[str]]:
    """Return the first examples, up to the share that is asked for, and the others as dropped."""
    whole = max(1, round(share * len(kept)))
    beyond = Counter({"beyond curate.share": len(kept) - whole}) if kept[whole:] else Counter()
    return list(kept[:whole]), dropped + beyond


def _example(domain: Domain, row: Row) -> Example:
    task = {field: row[field] for field in ("id", "instruction", "input", "seeds")}
    shown = {"sources": row.get("sources", ()), "solved": row.get("solved_seeds", ())}
    return Example.from_json({**task, **_written(row), **shown, "domain": domain.name})


def _written(row: Row) -> Row:
    """Return what a row holds of an answer: the text, and how the base wrote it."""
    return {field: row[field] for field in ("response", "continuation", "tokens") if field in row}


def _agreed(domain: Domain, job: Job, row: Row) -> tuple[Example, str | None]:
    """Return a row as an example, and what is wrong with it before anything is checked."""
    config = job.session.config
    plain = config.curate.agreement is None or config.curate.data == "seeds"
    if plain or row["problem"] not in (None, "unfinished response"):
        return _example(domain, row), row["problem"]
    greedy = [row] if row["problem"] is None else []
    answer = settle(
        [*greedy, *row.get("samples", ())],
        lambda written: domain.answer(written["response"], config.source),
        1 + config.respond.samples,
        config.curate.agreement or 0.0,
    )
    if answer is None:
        return _example(domain, row), "no agreement"
    return _example(domain, row | _written(answer)), None


def _counts(
    job: Job,
    rows: Sequence[Row],
    kept: Sequence[Example],
    dropped: Counter[str],
    overlap: Overlap,
) -> dict[str, Any]:
    of_base = job.session.config.curate.data == "made"
    nothing: dict[str, Any] = {"written": len(rows), "dropped": {}}
    written = read_yield(job.input("instructions")) if of_base else nothing
    retrieved = {
        "answers": sum(bool(row["sources"]) for row in rows if "sources" in row),
        "kept": sum(bool(example.sources) for example in kept),
        "no_room": sum(row.get("sources_dropped", 0) for row in rows),
    }
    return {
        "written": written["written"],
        "instructions": len(rows),
        "kept": len(kept),
        "dropped": {"brainstorm": written["dropped"], "curate": dict(dropped)},
        "overlap_8gram": sum(example.id in overlap.touched for example in kept),
        **({"retrieved": retrieved} if any("sources" in row for row in rows) else {}),
    }


def _too_few(domain: str, kept: int, asked: int, dropped: Counter[str], wanted: int) -> str:
    reasons = ", ".join(f"{n} {why}" for why, n in dropped.most_common()) or "none dropped"
    return (
        f"curate kept {kept} of {asked} examples of domain '{domain}' ({reasons}), "
        f"but curate.min_examples is {wanted}\n"
        "  With so few an expert would learn nothing. Raise brainstorm.n, or look at "
        "responses.jsonl in the run directory and change what drops them (curate.near_duplicate, "
        "respond.max_new_tokens)."
    )


def _refused(domain: Domain, job: Job, example: Example) -> str | None:
    rejected = domain.accept(example, job.session.config.source)
    return rejected.reason if rejected else None


def _wrong(domain: Domain, job: Job, example: Example) -> str | None:
    config = job.session.config
    allow_unsafe(config.evaluate.unsafe_code)
    try:
        rejected = domain.verify(example, config.source)
    finally:
        allow_unsafe(False)
    return rejected.reason if rejected else None
