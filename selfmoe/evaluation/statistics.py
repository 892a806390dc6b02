"""Means and intervals of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def mean_stderr(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard error of the mean (sample variance, as in lm-eval), both 0..1.

    The error of a single value is not known and given as 0. ``values`` must not be empty.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, 0.0
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return mean, math.sqrt(variance / n)


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share, each end in 0..1.

    It covers the choice of items only: not training seeds, not few-shot examples.
    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval

    Args:
        successes: How many were right, 0..n; partial credit may make it fractional.
        n: How many there were; with none the interval is ``(0, 1)``.
        level: How sure the interval is, 0..1.
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, z2 = successes / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def confident(
    value: float, stderr: float, freedom: int | None, level: float
) -> tuple[float, float]:
    """Return half the interval of an estimate, and the two-sided p that its true value is 0.

    Args:
        value: The estimate.
        stderr: Its standard error, at least 0.
        freedom: Degrees of freedom of Student's t; ``None`` for the normal distribution.
        level: How sure the interval is, 0..1.
    """
    from scipy.stats import norm, t

    if stderr == 0:
        return 0.0, float(value == 0)
    law = norm if freedom is None else t(freedom)
    return float(law.ppf(0.5 + level / 2)) * stderr, 2 * float(law.sf(abs(value) / stderr))


def mcnemar(won: int, lost: int) -> float:
    """Return the exact two-sided p that two systems are right equally often, 0..1.

    Items on which both are right or both wrong say nothing; of the others, each is as likely to be
    won as lost. https://en.wikipedia.org/wiki/McNemar%27s_test

    Args:
        won: Items that the one alone has right.
        lost: Items that the other alone has right.
    """
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


EXACT_FLIPS = 14
"""Differences up to which all ways to flip their signs are counted; of more, some are drawn."""
_DRAWS = 100_000
_AT_ONCE = 2_000_000


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p that paired differences are as likely up as down, 0..1.

    It is the share of the ways to flip their signs that move the mean as far as it is, at least.
    Of many differences 100,000 ways are drawn, always the same; p is then 1e-5 at the least.
    https://en.wikipedia.org/wiki/Permutation_test

    Args:
        differences: One an item.
    """
    import numpy as np

    moved = np.array([value for value in differences if value], dtype=float)
    if not len(moved):
        return 1.0
    reached = abs(moved.sum()) * (1 - 1e-9)
    if len(moved) <= EXACT_FLIPS:
        ways = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(abs((2 * ways - 1) @ moved) >= reached))
    rng, found = np.random.default_rng(0), 0
    for start in range(0, _DRAWS, rows := max(1, _AT_ONCE // len(moved))):
        signs = 2 * rng.integers(0, 2, (min(rows, _DRAWS - start), len(moved))) - 1
        found += int((abs(signs @ moved) >= reached).sum())
    return (found + 1) / (_DRAWS + 1)
