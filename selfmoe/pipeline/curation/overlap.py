"""Keeping training data clear of benchmark items, as far as words show."""

from __future__ import annotations

from collections import Counter

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.records import Example, Instruction
from selfmoe.contracts.text import ngrams, normalise, words
from selfmoe.contracts.words import runs, size
from selfmoe.evaluation.benchmarks import guarded
from selfmoe.pipeline.task import Job

LONG, SHORT = 13, 8
"""Sizes of the n-grams looked for in items, in words (``selfmoe.contracts.words.size``)."""


class Overlap:
    """Refuses what a benchmark item contains: the lower bound on contamination that words show.

    Dropped: any 13-gram in common, 8-grams that cover more than half of the item, or, for items
    shorter than 13 words and templated tracks, the same text. One 8-gram alone is counted.

    Attributes:
        touched: Ids of examples that got through and share an 8-gram with an item.
    """

    def __init__(self, domain: Domain, job: Job) -> None:
        config = job.session.config
        source, named = config.source, config.evaluate.benchmarks
        self._exact: set[str] = set()
        self._wordings: set[str] = set()
        self._long: set[tuple[str, ...]] = set()
        self._short: dict[tuple[str, ...], list[int]] = {}
        self._sizes: list[int] = []
        self.touched: set[str] = set()
        self._templated = source.track in domain.templated
        for benchmark in guarded(domain, source, named):
            self._index(benchmark)

    def _texts(self, task: Instruction | Example) -> set[str]:
        """Return what makes a task the same as an item; wordings of templates do not."""
        if self._templated:
            return {normalise(task.input or task.instruction)}
        return {normalise(task.instruction), normalise(task.instruction, task.input)}

    def _index(self, benchmark: Benchmark) -> None:
        tasks = [benchmark.ask(doc) for doc in benchmark.items]
        # An instruction that several items share is a wording; the question is in their inputs.
        counts = Counter(normalise(task.instruction) for task in tasks if task.input)
        shared = {text for text, n in counts.items() if n > 1}
        self._wordings |= shared
        for task in tasks:
            tokens = words(_question(task, shared))
            self._exact |= self._texts(task) - (shared if task.input else set())
            if self._templated or size(tokens) < LONG:
                continue
            self._long |= ngrams(tokens, LONG)
            for gram in ngrams(tokens, SHORT):
                self._short.setdefault(gram, []).append(len(self._sizes))
            self._sizes.append(len(runs(tokens, SHORT)))

    def __call__(self, example: Example) -> str | None:
        """Return the reason, if there is one."""
        if self._texts(example) & self._exact:
            return "benchmark overlap"
        tokens = words(f"{_question(example, self._wordings)} {example.response}")
        if self._long & ngrams(tokens, LONG):
            return "benchmark overlap"
        hits = Counter(item for gram in ngrams(tokens, SHORT) for item in self._short.get(gram, ()))
        if any(count > self._sizes[item] / 2 for item, count in hits.items()):
            return "benchmark overlap"
        if hits:
            self.touched.add(example.id)
        return None


def _question(task: Instruction | Example, wordings: set[str]) -> str:
    """Return a task's text without an instruction that is only a wording."""
    if task.input and normalise(task.instruction) in wordings:
        return task.input
    return f"{task.instruction} {task.input}"
