"""Functions of one number: arithmetic, tests, choices."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_coding.mini.tasks import Task, pick, problem

_FIRST = (
    ("double it", "x * 2"),
    ("square it", "x * x"),
    ("multiply it by {n}", "x * {n}"),
    ("add {m}", "(x + {m})"),
    ("take away {m}", "(x - {m})"),
)
_THEN = (
    ("add {m}", "{} + {m}"),
    ("take away {m}", "{} - {m}"),
    ("multiply it by {n}", "{} * {n}"),
    ("negate it", "-({})"),
)
_TEST = (
    ("is even", "x % 2 == 0"),
    ("is odd", "x % 2 == 1"),
    ("is above {m}", "x > {m}"),
    ("is below {m}", "x < {m}"),
    ("is a multiple of {n}", "x % {n} == 0"),
)
_LABELS = ("big", "small", "good", "bad", "yes", "no")


def _number(rng: random.Random) -> int:
    return rng.randint(1, 20)


def _arithmetic(rng: random.Random) -> Problem:
    def make() -> Task:
        (first, inner), (then, outer) = pick(rng, _FIRST), pick(rng, _THEN)
        return Task("number", (first, then), outer.replace("{}", inner))

    return problem("arithmetic", rng, make, _number)


def _test(rng: random.Random) -> Problem:
    def make() -> Task:
        phrase, code = pick(rng, _TEST)
        return Task("number", (f"say if it {phrase}",), code)

    return problem("test", rng, make, _number)


def _label(rng: random.Random) -> Problem:
    def make() -> Task:
        phrase, code = pick(rng, _TEST)
        yes, no = rng.sample(_LABELS, 2)
        task = f"return '{yes}' if it {phrase}, else '{no}'"
        return Task("number", (task,), f"'{yes}' if {code} else '{no}'")

    return problem("label", rng, make, _number)


FAMILIES = (
    Family("test", _test, "easy"),
    Family("arithmetic", _arithmetic, "medium"),
    Family("label", _label, "medium"),
)
