"""Planted claims: the false ones never hold, the true ones do, as far as they can be seen."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from planted import measure
from plants import FALSE, TRUE, Answered, judged, just_visible
from selfmoe.contracts.randomness import rng_for

DOMAINS = ("coding", "knowledge", "math", "reasoning")
ITEMS = 120
SKILL = {"base": 0.5, "shown": 0.8, "mixture": 0.75, "oracle": 0.78, "random": 0.62}
HOME, AWAY = 0.78, 0.45


def answers(skill: float, seed: int, who: str, item: str) -> bool:
    """Return whether a system is right: items are hard or easy for all, seeds differ a little."""
    hard = rng_for("item", item).random()
    luck = rng_for("answer", seed, who, item).random()
    return 0.6 * hard + 0.4 * luck < skill + 0.02 * rng_for("seed", seed, who).gauss(0, 1)


def skill_of(system: str, benchmark: str) -> float:
    if system.startswith("expert-"):
        return HOME if benchmark == f"{system.removeprefix('expert-')}/mini" else AWAY
    return SKILL[system]


def scores(seed: int, system: str) -> Mapping[str, Mapping[str, float]]:
    return {
        f"{d}/mini": {
            (item := f"{d}-{n}"): float(answers(skill_of(system, f"{d}/mini"), seed, system, item))
            for n in range(ITEMS)
        }
        for d in DOMAINS
    }


def answered(seeds: int) -> Answered:
    """Return what systems of known skill answer."""
    systems = [*SKILL, *(f"expert-{domain}" for domain in DOMAINS)]
    known = [{s: scores(seed, s) for s in systems} for seed in range(seeds)]

    def mark(place: int, system: str, name: str, item: str, other: str) -> float | None:
        luck = rng_for("mark", place, system, item, other).random()  # one answer of ten fits
        return None if name == "coding/mini" else float(luck < 0.1)

    return Answered(known, mark)


@pytest.fixture(scope="module", params=[1, 5])
def result(request):
    return measure(answered(request.param), claims=24)


@pytest.mark.parametrize("name", FALSE)
def test_a_false_claim_never_holds_and_fails_wherever_it_could_be_seen(result, name):
    (row,) = [row for row in result["claims"] if row["claim"] == name]
    assert row["verdicts"].get("holds", 0) == 0
    assert row["missed"] == 0


@pytest.mark.parametrize("name", TRUE)
def test_a_true_claim_holds(result, name):
    (row,) = [row for row in result["claims"] if row["claim"] == name]
    assert row["verdicts"].get("holds", 0) >= row["asked"]
    assert row["verdicts"].get("fails", 0) == 0


def test_large_false_effects_are_visible(result):
    rows = {row["claim"]: row for row in result["claims"]}
    for name in ("experts-exchanged", "router-blind"):
        assert rows[name]["visible"] == result["times"], rows[name]
    assert rows["router-no-better"]["visible"] == 0


def test_an_effect_just_above_the_smallest_is_no_larger_than_that():
    level, found = 1 - 0.05 / 24, answered(2)
    one = judged(just_visible(found, random.Random(3), level), level)
    assert one.smallest is not None
    assert 0.7 < one.difference / one.smallest < 1.5
