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
