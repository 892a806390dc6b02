"""Asking a model the items of one benchmark, a shard at a time, and scoring its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import SelfmoeError, StageError
from selfmoe.evaluation.code import allow_unsafe
from selfmoe.evaluation.pace import Watch
from selfmoe.evaluation.prompting import Doc
from selfmoe.store.shards import Row

if TYPE_CHECKING:
    from selfmoe.evaluation.harness import HarnessModel


class Asker:
    """Fills in completions, and scores them.

    Args:
        benchmark: What is asked.
        benchmark_id: ``<domain>/<name>``, for messages.
        stop: Strings that end a completion.

    Attributes:
        runs_code: Whether answers are programs that are run to be scored.
    """

    def __init__(self, benchmark: Benchmark, benchmark_id: str, stop: Sequence[str]) -> None:
        self._benchmark, self._id, self._stop = benchmark, benchmark_id, tuple(stop)
        self.runs_code = benchmark.needs_sandbox
        self._docs = {str(doc["id"]): doc for doc in benchmark.items}

    def ask(self, model: HarnessModel, stubs: Sequence[Row], watch: Watch) -> dict[str, Row]:
        """Return what the model answers, by item; those that do not fit are not asked."""
        asked = [stub for stub in stubs if stub["fits"]]
        if not asked:
            return {}
        prompts = [stub["prompt"] for stub in asked]
        docs = [self._docs[stub["id"]] for stub in asked]
        options = [self._benchmark.choices(doc) for doc in docs]
        if options[0] is None:
            answers = self._write(model, prompts, watch)
        else:
            answers = self._choose(
                model, prompts, docs, [list(row or ()) for row in options], watch
            )
        return dict(zip((stub["id"] for stub in asked), answers, strict=True))

    def _write(self, model: HarnessModel, prompts: Sequence[str], watch: Watch) -> list[Row]:
        from selfmoe.evaluation import harness

        limit = self._benchmark.max_new_tokens
        texts = harness.complete(model, prompts, stop=self._stop, max_new_tokens=limit, watch=watch)
        return [{"completion": text} for text in texts]

    def _choose(
        self,
        model: HarnessModel,
        prompts: Sequence[str],
        docs: Sequence[Doc],
        options: Sequence[Sequence[str]],
        watch: Watch,
    ) -> list[Row]:
        from selfmoe.evaluation import harness

        chances = harness.likelihoods(model, prompts, options, watch=watch)
        return [
            {"completion": row[self._benchmark.pick(doc, scores)], "loglikelihoods": scores}
            for doc, row, scores in zip(docs, options, chances, strict=True)
        ]

    def finish(
        self, scoring: Executor, stubs: Sequence[Row], answers: Mapping[str, Row]
    ) -> list[Row]:
        """Return the finished rows of one shard.

        Args:
            scoring: Threads to score in.
            stubs: What was known of the rows.
            answers: What ``ask`` returned for them.

        Raises:
            StageError: If an answer cannot be scored.
        """
        scores = dict(zip(answers, scoring.map(self._score, answers.items()), strict=True))
        return [
            {
                **stub,
                **answers.get(stub["id"], {"completion": ""}),
                **scores.get(stub["id"], {"score": 0.0}),
            }
            for stub in stubs
        ]

    def _score(self, answer: tuple[str, Row]) -> dict[str, float]:
        item, found = answer
        try:
            doc = self._docs[item]
            if "loglikelihoods" in found:
                scores = dict(self._benchmark.weigh(doc, found["loglikelihoods"]))
            else:
                scores = dict(self._benchmark.score(doc, found["completion"]))
        except SelfmoeError:
            raise
        except Exception as error:
            raise StageError(
                f"benchmark '{self._id}' cannot score item '{item}': {type(error).__name__}: "
                f"{error}\n  This is a fault of the plugin that provides the benchmark; report it "
                "there."
            ) from error
        numbers = all(isinstance(value, int | float) for value in scores.values())
        if "score" not in scores or not (
            numbers and all(0.0 <= value <= 1.0 for value in scores.values())
        ):
            raise StageError(
                f"benchmark '{self._id}' scored item '{item}' as {scores}\n"
                "  A score needs the key 'score' and values in 0..1; report it to the plugin."
            )
        return {key: float(value) for key, value in scores.items()}


@contextmanager
def threads(number: int, unsafe_code: bool = False) -> Iterator[ThreadPoolExecutor]:
    """Yield threads to score in; at the end they finish what they do, and begin nothing more."""
    pool = ThreadPoolExecutor(number, initializer=allow_unsafe, initargs=(unsafe_code,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
