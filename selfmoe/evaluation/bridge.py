"""From a model and a benchmark to a score, through lm-eval."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import SelfmoeError, StageError
from selfmoe.contracts.records import Score
from selfmoe.evaluation.code import allow_unsafe
from selfmoe.evaluation.prompting import (
    TEMPLATE_STOPS,
    Prompter,
    choose_shots,
    refuse_overflow,
)
from selfmoe.evaluation.statistics import mean_stderr
from selfmoe.models.context import Prompt, prompt_length
from selfmoe.store.shards import Row, in_shards

if TYPE_CHECKING:
    from selfmoe.evaluation.harness import HarnessModel

_SHARD = 16
"""Items a shard at the least: what a killed evaluation may have to ask again."""


@dataclass(frozen=True)
class Setup:
    """How a benchmark is asked.

    Attributes:
        limit: How many items at the most, from the front; ``None`` for all.
        batch_size: Prompts a forward pass.
        template: ``alpaca``, ``examples`` or ``plain``; ``None`` for the benchmark's own.
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
        progress: Told (items done, items in all).

    Returns:
        The score, and one row an item: id, prompt, completion, gold, scores, shots, tokens.

    Raises:
        StageError: If there are no items, prompts are too long, or scoring fails.
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
    stubs = _stubs(
        Prompter(benchmark, template, examples, count, context), docs, benchmark_id, setup
    )
    fill = _filler(model, tokenizer, _Asker(benchmark, benchmark_id, template, setup), context)
    size = setup.batch_size * ceil(_SHARD / setup.batch_size)
    rows = in_shards(work, stubs, size, fill, progress)
    sandbox = {"sandbox": tier} if tier else {}
    return summarise(rows, {**benchmark.extra, "template": template, **sandbox}), rows


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


def _filler(
    model: Any, tokenizer: Any, asker: _Asker, context: int
) -> Callable[[int, Sequence[Row]], list[Row]]:
    """Return what turns stubs into rows, by asking the model."""
    from selfmoe.evaluation.harness import HarnessModel

    batch_size = asker.setup.batch_size
    harness = HarnessModel(model, tokenizer, batch_size=batch_size, context=context)
    return lambda index, stubs: asker.fill(harness, stubs)


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


class _Asker:
    """Fills in completions and scores, a shard at a time."""

    def __init__(
        self, benchmark: Benchmark, benchmark_id: str, template: str, setup: Setup
    ) -> None:
        self.benchmark, self.id, self.setup = benchmark, benchmark_id, setup
        self.docs = {str(doc["id"]): doc for doc in benchmark.items}
        self.stop = (*benchmark.stops(template), *TEMPLATE_STOPS[template])

    def fill(self, model: HarnessModel, stubs: Sequence[Row]) -> list[Row]:
        """Return the finished rows of one shard."""
        asked = [stub for stub in stubs if stub["fits"]]
        answers = dict(zip((s["id"] for s in asked), self._ask(model, asked), strict=True))
        workers = min(4, os.cpu_count() or 1) if self.benchmark.needs_sandbox else 1
        unsafe = (self.setup.unsafe_code,)
        with ThreadPoolExecutor(workers, initializer=allow_unsafe, initargs=unsafe) as pool:
            scores = dict(zip(answers, pool.map(self._score, answers.items()), strict=True))
        return [
            {
                **stub,
                **answers.get(stub["id"], {"completion": ""}),
                **scores.get(stub["id"], {"score": 0.0}),
            }
            for stub in stubs
        ]

    def _ask(self, model: HarnessModel, stubs: Sequence[Row]) -> list[dict[str, Any]]:
        from selfmoe.evaluation import harness

        if not stubs:
            return []
        prompts = [stub["prompt"] for stub in stubs]
        options = [self.benchmark.choices(self.docs[stub["id"]]) for stub in stubs]
        if options[0] is None:
            texts = harness.complete(
                model, prompts, stop=self.stop, max_new_tokens=self.benchmark.max_new_tokens
            )
            return [{"completion": text} for text in texts]
        offered = [list(row or ()) for row in options]
        chances = harness.likelihoods(model, prompts, offered)
        docs = [self.docs[stub["id"]] for stub in stubs]
        return [
            {"completion": row[self.benchmark.pick(doc, scores)], "loglikelihoods": scores}
            for doc, row, scores in zip(docs, offered, chances, strict=True)
        ]

    def _score(self, answer: tuple[str, dict[str, Any]]) -> dict[str, float]:
        item, found = answer
        try:
            doc = self.docs[item]
            if "loglikelihoods" in found:
                scores = dict(self.benchmark.weigh(doc, found["loglikelihoods"]))
            else:
                scores = dict(self.benchmark.score(doc, found["completion"]))
        except SelfmoeError:
            raise
        except Exception as error:
            raise StageError(
                f"benchmark '{self.id}' cannot score item '{item}': {type(error).__name__}: {error}"
                "\n  This is a fault of the plugin that provides the benchmark; report it there."
            ) from error
        numbers = all(isinstance(value, int | float) for value in scores.values())
        if "score" not in scores or not (
            numbers and all(0.0 <= value <= 1.0 for value in scores.values())
        ):
            raise StageError(
                f"benchmark '{self.id}' scored item '{item}' as {scores}\n"
                "  A score needs the key 'score' and values in 0..1; report it to the plugin."
            )
        return {key: float(value) for key, value in scores.items()}


def _sandbox_tier() -> str | None:
    from selfmoe.evaluation.sandbox import best_tier

    return best_tier()
