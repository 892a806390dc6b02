"""Contrasts of two sides over root seeds and items, and the verdicts they give."""

from __future__ import annotations

import random
from math import sqrt
from statistics import fmean, stdev

import pytest
from scipy.stats import ttest_1samp

from selfmoe.evaluation.contrasts import PSEUDO, Contrast, contrast
from selfmoe.evaluation.statistics import sign_flip
from selfmoe.evaluation.verdicts import corrected, verdict

LEVEL = corrected(0.95, 24)


def drawn(seeds: int, n: int, effect: float, rng: random.Random) -> list[dict[str, list[float]]]:
    """Return differences of items that are harder or easier in all seeds, by two benchmarks."""
    lean = {name: [rng.gauss(0, 0.2) for _ in range(n)] for name in "ab"}
    return [
        {
            name: [effect + x + rng.choice([-0.3, 0.3]) for x in items]
            for name, items in lean.items()
        }
        for _ in range(seeds)
    ]


def test_one_seed_is_a_paired_t_over_the_items():
    values = [-1.0, 0.0, 0.0, 1.0, 1.0] * 80
    found = contrast([{"one": values}], 0.95)
    assert found.over == "items"
    assert found.difference == pytest.approx(fmean(values))
    assert found.stderr == pytest.approx(
        sqrt(stdev(values) ** 2 / len(values) + PSEUDO / len(values) ** 2)
    )
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert found.effect == pytest.approx(fmean(values) / stdev(values))


def test_benchmarks_count_alike_however_many_items_they_have():
    found = contrast([{"small": [1.0, 1.0], "large": [0.0] * 98}], 0.95)
    assert found.difference == 0.5
    assert found.items == 100


def test_what_seeds_differ_by_is_in_the_interval():
    items = [float(i % 2) / 10 for i in range(200)]
    alike = contrast([{"one": items} for _ in range(5)], 0.95)
    apart = contrast([{"one": [x + s / 10 for x in items]} for s in range(-2, 3)], 0.95)
    assert apart.over == "root seeds and items"
    assert apart.stderr == pytest.approx(sqrt(alike.stderr**2 + 0.025 / 5))
    assert apart.freedom == pytest.approx(4, abs=0.3)
    assert alike.freedom > 100


def test_the_interval_holds_the_truth_and_the_smallest_effect_is_mostly_seen():
    """Of 300 draws: at 95 % few miss; an effect as large as the smallest visible one is seen."""
    rng, missed, seen = random.Random(0), 0, 0
    for _ in range(300):
        found = contrast(drawn(5, 30, 0.05, rng), 0.95)
        missed += not found.low <= 0.05 <= found.high
        size = found.smallest or 1.0
        helped = contrast(drawn(5, 30, size, rng), 0.95)
        seen += verdict(helped, 0.0, 0.95) == "holds"
    assert missed <= 15
    assert seen >= 240


def test_where_nothing_varies_that_is_no_certainty():
    few, many = (contrast([{"one": [0.0] * n}], LEVEL, -0.02) for n in (16, 2000))
    assert (few.effect, few.difference) == (None, 0)
    assert verdict(few, -0.02, LEVEL) == "undecided"
    assert verdict(many, -0.02, LEVEL) == "holds"


def test_where_few_items_differ_p_is_no_smaller_than_that_of_a_sign_flip_test():
    for up, down in ((5, 0), (9, 0), (12, 1), (20, 3)):
        values = [1.0] * up + [-1.0] * down
        found = contrast([{"one": values + [0.0] * 200}], LEVEL)
        assert found.p >= sign_flip(values)
    one = [1.0] * 9 + [0.0] * 391
    assert verdict(contrast([{"one": one}], LEVEL), 0.0, LEVEL) == "undecided"
    assert verdict(contrast([{"one": [1.0] * 30 + one}], LEVEL), 0.0, LEVEL) == "holds"


@pytest.mark.parametrize(
    ("low", "high", "margin", "said"),
    [
        (0.01, 0.03, 0.0, "holds"),
        (0.01, 0.03, 0.02, "undecided"),
        (-0.03, -0.01, 0.0, "fails"),
        (-0.015, -0.001, -0.02, "holds"),
        (-0.05, -0.021, -0.02, "fails"),
        (-0.01, 0.01, 0.0, "undecided"),
    ],
)
def test_the_whole_interval_decides(low, high, margin, said):
    found = Contrast((low + high) / 2, low, high, 1e-6, 0.01, 50, None, None, 100, 1)
    assert verdict(found, margin, LEVEL) == said


def test_nothing_is_decided_by_a_p_that_is_too_large():
    found = Contrast(0.02, 0.01, 0.03, 0.01, 0.01, 50, None, None, 100, 1)
    assert verdict(found, 0.0, LEVEL) == "undecided"


def test_more_claims_make_each_interval_wider():
    assert corrected(0.95, 1) == pytest.approx(0.95)
    assert corrected(0.95, 20) == pytest.approx(0.9975)
    assert corrected(0.95, 0) == pytest.approx(0.95)


def test_an_interval_stays_within_what_is_possible():
    found = contrast([{"one": [0.9, 1.0, 0.8]}, {"one": [0.2, 0.1, 0.3]}], LEVEL)
    assert (found.low, found.high, found.smallest) == (-1.0, 1.0, None)
