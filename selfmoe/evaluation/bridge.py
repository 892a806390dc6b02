"""From a model and a benchmark to a score, through lm-eval."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.contracts.records import Score
from selfmoe.evaluation.asking import Asker, threads
from selfmoe.evaluation.pace import Pace, Tell
from selfmoe.evaluation.prepared import Encodings, Prepared
from selfmoe.evaluation.prompting import (
    TEMPLATE_STOPS,
    Prompter,
    choose_shots,
    refuse_overflow,
)
from selfmoe.evaluation.statistics import mean_stderr
from selfmoe.models.chat import Chat, chat_of
from selfmoe.models.context import Prompt, prompt_length
from selfmoe.store.shards import Row, Share, in_shards, in_turns

if TYPE_CHECKING:
    from selfmoe.evaluation.harness import HarnessModel
    from selfmoe.models.remote.writing import Remote

_SHARD = 64
"""Items a shard at the least: what a killed evaluation may have to ask again."""


@dataclass(frozen=True)
class Setup:
    """How a benchmark is asked.

    Attributes:
        limit: How many items at the most, from the front; ``None`` for all.
        batch_size: Prompts a forward pass.
        template: One of those of ``selfmoe.evaluation.prompting``; ``None`` for the benchmark's
            own.
        shots: Solved examples; ``None`` for the benchmark's own number.
        fewshot_seed: Which examples; ``None`` for the first ones of the pool.
        overflow: ``fewer-shots`` drops the last examples until prompt and answer fit;
            ``error`` stops instead.
        unsafe_code: Go on where generated code must run and there is no sandbox.
    """

    limit: int | None = None
    batch_size: int = 8
    template: str | None = None
    shots: int | None = None
    fewshot_seed: int | None = None
    overflow: str = "fewer-shots"
    unsafe_code: bool = False


def evaluate(
    model: Any,
    tokenizer: Any,
    benchmark: Benchmark,
    setup: Setup,
    *,
    benchmark_id: str,
    context: int,
    work: Path,
    progress: Callable[[int, int], None] | None = None,
    tell: Tell | None = None,
    prepared: Prepared | None = None,
    remote: Remote | None = None,
    share: Share | None = None,
) -> tuple[Score, list[Row]]:
    """Ask a model the items of a benchmark and score its answers.

    Decoding is greedy. Items with options are decided by log-likelihood. An
    item that does not fit the context even without examples scores 0.

    Args:
        model: A transformers-like causal model: ``config``, ``device``, ``forward``, ``generate``.
        tokenizer: Its tokenizer.
        benchmark: What to ask.
        setup: How to ask it.
        benchmark_id: ``<domain>/<name>``, for messages.
        context: Longest sequence of the model, in tokens.
        work: Folder for finished shards; the same call resumes from it.
        progress: Told (items done, items in all) with every shard that is finished.
        tell: Told (items answered, items in all, words on the speed) with every batch.
        prepared: Keeps prompts and tokens for further systems that are asked the same.
        remote: What answers in place of the model, if something else does that has the same one.
        share: The shards to fill, if not all.

    Returns:
        The score, and one row an item: id, prompt, completion, gold, scores, shots, tokens.

    Raises:
        StageError: If there are no items, prompts are too long, or scoring fails.
        DataError: If the base's chat template is asked for and there is none, or it refuses.
        ShareFilled: In place of returning, if there is a share and anything to ask.
    """
    docs = list(benchmark.items[: setup.limit])
    if not docs:
        raise StageError(f"benchmark '{benchmark_id}' has no items; check its data")
    tier = (_sandbox_tier() or "unsafe") if benchmark.needs_sandbox else None
    if tier == "unsafe" and not setup.unsafe_code:
        return Score(nan, nan, len(docs), not_run="no sandbox"), []
    template = setup.template or benchmark.template
    examples = choose_shots(benchmark, setup.shots, setup.fewshot_seed)
    count = partial(prompt_length, tokenizer)
    chat = chat_of(tokenizer) if template == "chat" else None
    prompter = Prompter(benchmark, template, examples, count, context, chat)
    prepared = prepared or Prepared()
    stubs = prepared.rows(
        (benchmark, tokenizer),
        (benchmark_id, setup, template, context),
        partial(_stubs, prompter, docs, benchmark_id, setup),
    )
    stop = (*benchmark.stops(template), *TEMPLATE_STOPS[template])
    asker = Asker(benchmark, benchmark_id, stop)
    encodings = prepared.encodings(model, tokenizer)
    harness = _harness(model, tokenizer, setup, context, encodings, chat, remote)
    pace = Pace(len(stubs), tell)
    rows = _answered(harness, asker, stubs, work, setup, progress, pace, share)
    if chat is not None:  # those that were read from files are texts like any other
        rows = [{**row, "prompt": ChatPrompt(row["prompt"])} for row in rows]
    sandbox = {"sandbox": tier} if tier else {}
    return summarise(rows, {**benchmark.extra, "template": template, **sandbox}), rows


def shard_size(batch_size: int) -> int:
    """Return how many items a shard has, but for the last."""
    return batch_size * ceil(_SHARD / batch_size)


def _stubs(
    prompter: Prompter, docs: Sequence[Mapping[str, Any]], benchmark_id: str, setup: Setup
) -> list[Row]:
    """Return what is known of every sample row before the model is asked."""
    prompts = [prompter.fit(doc) for doc in docs]
    if setup.overflow == "error":
        refuse_overflow(benchmark_id, prompts, prompter.asked)
    return [
        _stub(prompter.benchmark, doc, prompt, prompter.asked)
        for doc, prompt in zip(docs, prompts, strict=True)
    ]


def _harness(
    model: Any,
    tokenizer: Any,
    setup: Setup,
    context: int,
    encodings: Encodings,
    chat: Chat | None,
    remote: Remote | None,
) -> HarnessModel:
    from selfmoe.evaluation.harness import HarnessModel

    return HarnessModel(
        model,
        tokenizer,
        batch_size=setup.batch_size,
        context=context,
        encodings=encodings,
        chat=chat,
        remote=remote,
    )


def _answered(
    harness: HarnessModel,
    asker: Asker,
    stubs: Sequence[Row],
    work: Path,
    setup: Setup,
    progress: Callable[[int, int], None] | None,
    pace: Pace,
    share: Share | None,
) -> list[Row]:
    """Return finished rows; code is run while the model writes the next answers."""
    size = shard_size(setup.batch_size)
    workers = min(4, os.cpu_count() or 1) if asker.runs_code else 1

    def ask(index: int, part: Sequence[Row]) -> dict[str, Row]:
        return asker.ask(harness, part, pace.within(index * size, len(part)))

    with threads(1) as background, threads(workers, setup.unsafe_code) as scoring:
        finish = partial(asker.finish, scoring)
        if asker.runs_code:
            return in_turns(work, stubs, size, ask, finish, background, progress, share)
        return in_shards(
            work, stubs, size, lambda n, part: finish(part, ask(n, part)), progress, share
        )


def summarise(rows: Sequence[Row], extra: Mapping[str, Any]) -> Score:
    """Return the score that sample rows add up to; all rows count."""
    value, stderr = mean_stderr([row["score"] for row in rows])
    lenient: list[float] = []
    if any("lenient" in row for row in rows):
        lenient = [row["lenient"] if "lenient" in row else row["score"] for row in rows]
    counts = {
        "shots_asked": max(row["shots_asked"] for row in rows),
        "shots_used": sum(row["shots_used"] for row in rows) / len(rows),
        "overflowed": sum(not row["fits"] for row in rows),
    }
    return Score(
        value=value,
        stderr=stderr,
        n=len(rows),
        lenient=sum(lenient) / len(rows) if lenient else None,
        extra={**counts, **extra},
    )


def _stub(benchmark: Benchmark, doc: Mapping[str, Any], prompt: Prompt, asked: int) -> Row:
    """Return what is known of a sample row before the model is asked."""
    return {
        "id": str(doc["id"]),
        "prompt": prompt.text,
        "gold": benchmark.gold(doc),
        "shots_asked": asked,
        "shots_used": prompt.used,
        "prompt_tokens": prompt.tokens,
        "fits": prompt.fits,
    }


def _sandbox_tier() -> str | None:
    from selfmoe.evaluation.sandbox import best_tier

    return best_tier()
