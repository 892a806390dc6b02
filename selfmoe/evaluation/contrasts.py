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

from selfmoe.evaluation.statistics import sign_flip

POWER = 0.8
"""How sure the smallest visible effect would have been seen, 0..1."""

FEW = 40
"""With fewer items that differ between the sides, a sign-flip test must agree with the interval."""

Differences = Mapping[str, Sequence[float]]
"""Benchmark -> one side's value less the other's, of every item in the same order, -1..1."""


PSEUDO = 4
"""Items that are added in thought, each a whole point off the mean: where nothing or little was
seen to vary among few items, that does not mean that nothing can (as in A. Agresti and B. Caffo,
The American Statistician 54, 2000)."""


@dataclass(frozen=True)
class Contrast:
    """One side less the other: the mean over benchmarks of means over items, over all seeds.

    Attributes:
        difference: The mean, -1..1.
        low: Lower end of the interval, -1..1.
        high: Upper end of the interval, -1..1.
        p: Two-sided p that the true difference is the margin, 0..1, not corrected.
        stderr: Standard error of the difference.
        freedom: Degrees of freedom of Student's t.
        effect: The difference in standard deviations of the items' differences (Cohen's d_z);
            ``None`` where these are all the same.
        smallest: The distance from the margin that would have been seen with probability ``POWER``;
            ``None`` where no possible difference would have been.
        items: Items, of all benchmarks.
        seeds: Root seeds; with one, the interval speaks of the items alone.
    """

    difference: float
    low: float
    high: float
    p: float
    stderr: float
    freedom: float
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
    n_b items each, N items in all:

        var = Var(D̄ₛ) / S + Σ_b Varᵢ(d̄ᵢ) / (n_b B²) + 4 / N²,   df = var² / Σ (parts² / their df)

    Args:
        seeds: Of each seed, the differences; all have the same benchmarks and items, two items a
            benchmark at least.
        level: How sure the interval is, 0..1.
        margin: The difference that ``p`` is of, and that ``smallest`` is measured from.
    """
    means = {name: _means([seed[name] for seed in seeds]) for name in seeds[0]}
    value = fmean(map(fmean, means.values()))
    parts = [*_of_items(means), *_of_seeds(seeds)]
    total = sum(part for part, _ in parts)
    stderr, freedom = sqrt(total), total**2 / sum(part**2 / df for part, df in parts)
    sure, seen = (quantile(share, freedom) for share in (0.5 + level / 2, POWER))
    half, smallest = sure * stderr, (sure + seen) * stderr
    p = two_sided(abs(value - margin) / stderr, freedom)
    deviation = sqrt(fmean(variance(values) for values in means.values()))
    return Contrast(
        difference=value,
        low=max(-1.0, value - half),
        high=min(1.0, value + half),
        p=p if margin else max(p, _few_differ(means)),
        stderr=stderr,
        freedom=freedom,
        effect=value / deviation if deviation else None,
        smallest=smallest if smallest < 1 else None,
        items=sum(map(len, means.values())),
        seeds=len(seeds),
    )


Part = tuple[float, int]
"""A part of the variance, and its degrees of freedom."""


def _of_items(means: Mapping[str, Sequence[float]]) -> list[Part]:
    number = sum(map(len, means.values()))
    seen = [(variance(m) / len(m) / len(means) ** 2, len(m) - 1) for m in means.values()]
    return [*seen, (PSEUDO / number**2, number - 1)]


def _of_seeds(seeds: Sequence[Differences]) -> list[Part]:
    if len(seeds) == 1:
        return []
    averages = [fmean(map(fmean, seed.values())) for seed in seeds]
    return [(variance(averages) / len(seeds), len(seeds) - 1)]


def quantile(share: float, freedom: float) -> float:
    """Return what Student's t stays below with a probability of ``share``, 0..1."""
    from scipy.stats import t

    return float(t(freedom).ppf(share))


def two_sided(ratio: float, freedom: float) -> float:
    """Return the probability that Student's t is at least ``ratio`` away from 0."""
    from scipy.stats import t

    return 2 * float(t(freedom).sf(ratio))


def _means(seeds: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of every item over the seeds."""
    return [fmean(values) for values in zip(*seeds, strict=True)]


def _few_differ(means: Mapping[str, Sequence[float]]) -> float:
    """Return the p of a sign-flip test where so few items differ that t is not to be trusted."""
    weighed = [v / len(m) for m in means.values() for v in m if v]
    return sign_flip(weighed) if len(weighed) < FEW else 0.0
