"""Claims whose truth is known, planted into what systems have answered, and what is said of them.

False ones: experts exchanged, a router that ignores its input, golds shuffled among the items. True
ones: the domain known over nothing known, five solved examples over none, and an effect just above
the smallest that can be seen. Every repetition takes its own half of the items and draws anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.randomness import rng_for
from selfmoe.contracts.records import System
from selfmoe.evaluation.contrasts import Contrast, contrast
from selfmoe.evaluation.verdicts import Verdict, verdict

Items = Mapping[str, float]
Values = Mapping[str, Items]
"""Benchmark -> item -> score, of one root seed."""

Sides = tuple[Values, Values]
Plant = Callable[["Answered", random.Random, float], Sequence[Sides]]
"""Returns both sides of a claim, by root seed; given a generator and the level of intervals."""

ABOVE = 1.1
"""How large an effect just above the smallest visible one is, in that one."""

_STEPS = 400


@dataclass(frozen=True)
class Answered:
    """What systems have answered, by root seed.

    Attributes:
        seeds: System -> its scores; experts as ``expert-<domain>``, benchmarks as
            ``<domain>/<name>``; the roles ``base``, ``shown``, ``mixture``, ``oracle``, ``random``.
        mark: Root seed's place, system, benchmark, item whose answer is taken, item whose gold it
            is held against -> score; ``None`` for a benchmark that is not scored anew.
    """

    seeds: Sequence[Mapping[str, Values]]
    mark: Callable[[int, str, str, str, str], float | None]

    def half(self, rng: random.Random) -> Answered:
        """Return the same on a random half of the items of every benchmark."""
        kept = {
            n: set(rng.sample(sorted(v), len(v) // 2)) for n, v in self.seeds[0]["base"].items()
        }
        halves = [
            {s: {n: {i: v[i] for i in v if i in kept[n]} for n, v in values.items()}
             for s, values in seed.items()}
            for seed in self.seeds
        ]  # fmt: skip
        return Answered(halves, self.mark)


def experts_exchanged(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """Each domain is answered by the expert of the next one, against its own."""
    sides = []
    for seed in found.seeds:
        names = [_domain(name) for name in seed["base"]]
        after = dict(zip(names, names[1:] + names[:1], strict=True))
        wrong = {n: seed[_expert(after[_domain(n)])][n] for n in seed["base"]}
        sides.append((wrong, _home(seed)))
    return sides


def router_blind(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """A router that draws an expert for each item, against the expert of the item's domain."""
    return [(_drawn(seed, rng), _home(seed)) for seed in found.seeds]


def router_no_better(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """A router that draws an expert for each item, against one that does the same: no effect."""
    return [(_drawn(seed, rng), _drawn(seed, rng)) for seed in found.seeds]


def golds_shuffled(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """The mixture against the base, each answer held against the gold of another item."""
    orders = {n: _shuffled(items, rng) for n, items in found.seeds[0]["base"].items()}
    return [
        (_marked(found, place, "mixture", orders), _marked(found, place, "base", orders))
        for place in range(len(found.seeds))
    ]


def oracle_over_random(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """Routing by the domain's label, against random routing."""
    return [(seed["oracle"], seed["random"]) for seed in found.seeds]


def shown_over_none(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """The base after five solved examples, against the base after none."""
    return [(seed["shown"], seed["base"]) for seed in found.seeds]


def just_visible(found: Answered, rng: random.Random, level: float) -> Sequence[Sides]:
    """Two blind routers, one of them helped so much as could just be seen.

    A share of the items is answered right by the one and wrong by the other; it grows until it, the
    effect that is to be expected, is just above the smallest visible one.
    """
    pairs = router_no_better(found, rng, level)
    dice = {n: {i: rng.random() for i in items} for n, items in pairs[0][0].items()}
    for step in range(1, _STEPS):
        helped = [
            (_lifted(a, dice, step / _STEPS, 1.0), _lifted(b, dice, step / _STEPS, 0.0))
            for a, b in pairs
        ]
        seen = judged(helped, level)
        if seen.smallest is not None and step / _STEPS > ABOVE * seen.smallest:
            return helped
    raise ValueError("no effect would be visible on so few items")


FALSE: Mapping[str, Plant] = {
    "experts-exchanged": experts_exchanged,
    "router-blind": router_blind,
    "router-no-better": router_no_better,
    "golds-shuffled": golds_shuffled,
}

TRUE: Mapping[str, tuple[Plant, int]] = {
    "oracle-over-random": (oracle_over_random, 19),
    "shown-over-none": (shown_over_none, 19),
    "just-visible": (just_visible, 16),
}
"""Of 20 repetitions, in how many a true claim must hold at the least."""


def repeated(found: Answered, plant: Plant, level: float, times: int) -> list[Contrast]:
    """Return the contrast of a planted claim in every repetition."""
    contrasts = []
    for number in range(times):
        rng = rng_for("planted", plant.__name__, number)
        contrasts.append(judged(plant(found.half(rng), rng, level), level))
    return contrasts


def judged(sides: Sequence[Sides], level: float) -> Contrast:
    """Return the contrast of both sides of a claim."""
    return contrast(
        [{n: [a[n][i] - b[n][i] for i in a[n]] for n in a if a[n]} for a, b in sides], level
    )


def verdicts(found: Sequence[Contrast], level: float) -> list[Verdict]:
    """Return what is said of a claim in every repetition."""
    return [verdict(one, 0.0, level) for one in found]


def _home(seed: Mapping[str, Values]) -> Values:
    return {n: seed[_expert(_domain(n))][n] for n in seed["base"]}


def _domain(benchmark: str) -> str:
    return BenchmarkName.parse(benchmark).domain


def _expert(domain: str) -> str:
    return System.of_expert(domain).name


def _drawn(seed: Mapping[str, Values], rng: random.Random) -> Values:
    experts = [values for system, values in seed.items() if system.startswith("expert-")]
    return {n: {i: rng.choice(experts)[n][i] for i in items} for n, items in seed["base"].items()}


def _shuffled(items: Items, rng: random.Random) -> Mapping[str, str]:
    """Return another item for every item: the next one in a random order."""
    order = sorted(items)
    rng.shuffle(order)
    return dict(zip(order, order[1:] + order[:1], strict=True))


def _marked(
    found: Answered, place: int, system: str, orders: Mapping[str, Mapping[str, str]]
) -> Values:
    scored = {
        n: {i: found.mark(place, system, n, i, other) for i, other in order.items()}
        for n, order in orders.items()
    }
    return {
        n: {i: score for i, score in items.items() if score is not None}
        for n, items in scored.items()
        if None not in items.values()
    }


def _lifted(side: Values, dice: Values, share: float, to: float) -> Values:
    return {
        n: {i: to if dice[n][i] < share else v for i, v in items.items()}
        for n, items in side.items()
    }
