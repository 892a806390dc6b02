"""Keeping training data free of repetition."""

from __future__ import annotations

from collections.abc import Sequence

from selfmoe.contracts.domain import Domain
from selfmoe.contracts.records import Example
from selfmoe.contracts.text import normalise, rouge_l, words
from selfmoe.pipeline.records import read_seeds
from selfmoe.pipeline.task import Job


class Duplicates:
    """Refuses tasks that are too similar to a seed or to one already kept."""

    def __init__(self, domain: Domain, job: Job) -> None:
        config = job.session.config
        usual = 1.0 if config.track in domain.templated else domain.near_duplicate
        self._threshold = config.curate.near_duplicate or usual
        seeds = read_seeds(job.input("seeds"))
        self._seen = {normalise(seed.instruction, seed.input) for seed in seeds}
        self._words = [words(f"{seed.instruction} {seed.input}") for seed in seeds]

    def __call__(self, example: Example) -> str | None:
        """Return the reason, if there is one; remember the task otherwise."""
        key = normalise(example.instruction, example.input)
        if key in self._seen:
            return "duplicate"
        tokens = words(key)
        if self._threshold < 1 and any(self._alike(tokens, other) for other in self._words):
            return "near duplicate"
        self._seen.add(key)
        self._words.append(tokens)
        return None

    def _alike(self, a: Sequence[str], b: Sequence[str]) -> bool:
        # ROUGE-L F1 cannot exceed 2·min/(sum): most pairs are settled by their lengths alone.
        bound = 2 * min(len(a), len(b)) / max(1, len(a) + len(b))
        return bound > self._threshold and rouge_l(a, b) > self._threshold
