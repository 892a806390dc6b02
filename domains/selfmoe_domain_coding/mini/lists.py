"""Functions of a list of numbers: take, keep, change, bring together."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_coding.mini.tasks import Task, pick, problem

_KEEP = (
    ("keep the even numbers", "v % 2 == 0"),
    ("keep the odd numbers", "v % 2 == 1"),
    ("keep the numbers above {n}", "v > {n}"),
    ("keep the numbers below {n}", "v < {n}"),
    ("keep the multiples of {n}", "v % {n} == 0"),
    ("drop every {n}", "v != {n}"),
)
_CHANGE = (
    ("double each", "v * 2"),
    ("square each", "v * v"),
    ("add {n} to each", "v + {n}"),
    ("take {n} from each", "v - {n}"),
    ("multiply each by {n}", "v * {n}"),
    ("negate each", "-v"),
)
_REDUCE = (
    ("add them up", "sum({})"),
    ("count them", "len({})"),
    ("return the largest", "max({})"),
    ("return the smallest", "min({})"),
    ("sort them", "sorted({})"),
    ("return the first", "{}[0]"),
    ("return the last", "{}[-1]"),
    ("reverse them", "{}[::-1]"),
)
_TAKE = (
    ("take the first {n}", "x[:{n}]"),
    ("take the last {n}", "x[-{n}:]"),
    ("leave out the first {n}", "x[{n}:]"),
    ("leave out the last {n}", "x[:-{n}]"),
    ("take every second one", "x[::2]"),
)
_HOW_OFTEN = (
    ("count how often {m} occurs", "x.count({m})"),
    ("count the numbers above {m}", "len([v for v in x if v > {m}])"),
    ("count the numbers below {m}", "len([v for v in x if v < {m}])"),
)


def _list(low: int, high: int, rng: random.Random) -> list[int]:
    return [rng.randint(0, 9) for _ in range(rng.randint(low, high))]


def _numbers(rng: random.Random) -> list[int]:
    return _list(3, 6, rng)


def _reduce(rng: random.Random) -> Problem:
    def make() -> Task:
        end, reduce = pick(rng, _REDUCE)
        return Task("list", (end,), reduce.replace("{}", "x"))

    return problem("reduce", rng, make, _numbers)


def _take(rng: random.Random) -> Problem:
    def make() -> Task:
        (take, part), (end, reduce) = pick(rng, _TAKE), pick(rng, _REDUCE)
        return Task("list", (take, end), reduce.replace("{}", part))

    return problem("take", rng, make, lambda rng: _list(5, 7, rng))


def _how_often(rng: random.Random) -> Problem:
    def make() -> Task:
        phrase, code = pick(rng, _HOW_OFTEN)
        return Task("list", (phrase,), code)

    return problem("how-often", rng, make, lambda rng: _list(5, 7, rng))


def _filter(rng: random.Random) -> Problem:
    def make() -> Task:
        (keep, test), (end, reduce) = pick(rng, _KEEP), pick(rng, _REDUCE)
        return Task("list", (keep, end), reduce.replace("{}", f"[v for v in x if {test}]"))

    return problem("filter", rng, make, _numbers)


def _map(rng: random.Random) -> Problem:
    def make() -> Task:
        (change, value), (end, reduce) = pick(rng, _CHANGE), pick(rng, _REDUCE)
        return Task("list", (change, end), reduce.replace("{}", f"[{value} for v in x]"))

    return problem("map", rng, make, _numbers)


def _filter_map(rng: random.Random) -> Problem:
    def make() -> Task:
        (keep, test), (change, value) = pick(rng, _KEEP), pick(rng, _CHANGE)
        end, reduce = pick(rng, _REDUCE)
        expression = reduce.replace("{}", f"[{value} for v in x if {test}]")
        return Task("list", (keep, change, end), expression)

    return problem("filter-map", rng, make, _numbers)


FAMILIES = (
    Family("reduce", _reduce, "easy"),
    Family("how-often", _how_often, "easy"),
    Family("take", _take, "medium"),
    Family("filter", _filter, "medium"),
    Family("map", _map, "medium"),
    Family("filter-map", _filter_map, "hard"),
)
