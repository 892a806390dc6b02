"""Contrasts of two sides, item by item, over the items of benchmarks and the root seeds of a run.

Root seeds and items are crossed: every seed answers the same items. What varies with either is in
the interval, so that it speaks of other seeds and of other items at once. The variance is that of
the seeds' means plus that of the items' means, as in min F' (H. H. Clark, Journal of Verbal
Learning and Verbal Behavior 12, 1973), with Satterthwaite's degrees of freedom. What is left after
both is counted twice, so that the interval is rather too wide than too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance

POWER = 0.8
"""How sure the smallest visible effect would have been seen, 0..1."""

FEW = 40
"""With fewer items that differ between the sides, a sign-flip test must agree with the interval."""

FLIPS = 20_000
"""Draws of a sign-flip test where all sign patterns are too many."""

Differences = Mapping[str, Sequence[float]]
"""Benchmark -> one side's value less the other's, of every item in the same order, -1..1."""


@dataclass(frozen=True)
class Contrast:
    """One side less the other: the mean over benchmarks of means over items, over all seeds.

    Attributes:
        difference: The mean, -1..1.
        low: Lower end of the interval; without spread there is none.
        high: Upper end of the interval.
        p: Two-sided p that the true difference is ``margin``, 0..1, not corrected.
        stderr: Standard error of the difference.
        freedom: Degrees of freedom of Student's t.
        effect: The difference in standard deviations of the items' differences (Cohen's d_z).
        smallest: The distance from ``margin`` that would have been seen with probability ``POWER``.
        items: Items, of all benchmarks.
        seeds: Root seeds; with one, the interval speaks of the items alone.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    stderr: float
    freedom: float | None
    effect: float | None
    smallest: float | None
    items: int
    seeds: int

    @property
    def over(self) -> str:
        """Return what the interval speaks of."""
        return "items" if self.seeds == 1 else "root seeds and items"


def contrast(seeds: Sequence[Differences], level: float, margin: float = 0.0) -> Contrast:
    """Return the contrast that differences add up to.

    With D̄ₛ the mean of seed s and d̄ᵢ the mean of item i over the seeds, S seeds, B benchmarks of
    n_b items each:

        var = Var(D̄ₛ) / S + Σ_b Varᵢ(d̄ᵢ) / (n_b B²),   df = var² / Σ (its parts² / their df)

    Args:
        seeds: Of each seed, the differences; all have the same benchmarks and items, two items a
            benchmark at least.
        level: How sure the interval is, 0..1.
        margin: The difference that ``p`` is of, and that ``smallest`` is measured from.
    """
    names = list(seeds[0])
    means = {name: _means([seed[name] for seed in seeds]) for name in names}
    averages = [fmean(fmean(seed[name]) for name in names) for seed in seeds]
    parts = [(variance(m) / len(m) / len(names) ** 2, len(m) - 1) for m in means.values()]
    if len(seeds) > 1:
        parts.append((variance(averages) / len(seeds), len(seeds) - 1))
    total, value = sum(part for part, _ in parts), fmean(averages)
    items, measured = sum(map(len, means.values())), _Measured()
    if total > 0:
        freedom = total**2 / sum(part**2 / df for part, df in parts)
        measured = _measured(value, sqrt(total), freedom, level, margin)
        measured.effect = value / _deviation(means)
        measured.p = max(measured.p or 0.0, 0.0 if margin else _few_differ(means))
    return Contrast(difference=value, items=items, seeds=len(seeds), **vars(measured))


@dataclass
class _Measured:
    """What a contrast has only where there is spread."""

    low: float | None = None
    high: float | None = None
    p: float | None = None
    stderr: float = 0.0
    freedom: float | None = None
    effect: float | None = None
    smallest: float | None = None


def _measured(
    value: float, stderr: float, freedom: float, level: float, margin: float
) -> _Measured:
    from scipy.stats import t

    law = t(freedom)
    sure = float(law.ppf(0.5 + level / 2))
    return _Measured(
        low=value - sure * stderr,
        high=value + sure * stderr,
        p=2 * float(law.sf(abs(value - margin) / stderr)),
        stderr=stderr,
        freedom=freedom,
        smallest=(sure + float(law.ppf(POWER))) * stderr,
    )


def _means(seeds: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of every item over the seeds."""
    return [fmean(values) for values in zip(*seeds, strict=True)]


def _deviation(means: Mapping[str, Sequence[float]]) -> float:
    """Return the standard deviation of items within benchmarks, each benchmark counting alike."""
    return sqrt(fmean(variance(values) for values in means.values())) or 1.0


def _few_differ(means: Mapping[str, Sequence[float]]) -> float:
    """Return the p of a sign-flip test where so few items differ that t is not to be trusted."""
    weighed = [v / len(m) for m in means.values() for v in m if v]
    return sign_flip(weighed) if len(weighed) < FEW else 0.0


def sign_flip(values: Sequence[float]) -> float:
    """Return the two-sided p that values are as likely to be positive as negative, 0..1.

    The share of sign patterns whose sum is at least as far from 0: of all patterns where there are
    at most ``FLIPS``, else of as many drawn ones, the observed one counted among them.
    """
    import numpy as np

    n = len(values)
    if 2**n <= FLIPS:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], size=(FLIPS, n))
        signs[0] = 1
    sums = np.abs(signs @ np.asarray(values, dtype=float))
    return float(np.mean(sums >= sums[0] * (1 - 1e-9)))
