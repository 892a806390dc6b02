"""Self-consistency: of several answers to one task, the one that most of them amount to.

Wang et al. 2022 (arXiv 2203.11171) take the majority of sampled answers at test time; here it
decides which of its own answers the base model learns from, and which tasks it leaves out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

Answer = TypeVar("Answer")


def settle(
    answers: Sequence[Answer], result: Callable[[Answer], str | None], asked: int, share: float
) -> Answer | None:
    """Return the answer to learn from, or ``None`` if too few agree.

    Args:
        answers: What was written, the greedy answer first.
        result: What an answer amounts to; ``None`` agrees with nothing.
        asked: How many answers were asked for; those that never ended agree with nothing either.
        share: How many of them must agree, in 0..1.

    Returns:
        The first answer with the most frequent result; of equally frequent results, the first.
    """
    results = [result(answer) for answer in answers]
    counts = Counter(found for found in results if found is not None)
    if not counts:
        return None
    best, count = counts.most_common(1)[0]
    return answers[results.index(best)] if count / asked >= share else None
