"""Mini track of the coding domain: write f(x) from a description and an example."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selfmoe.procedural import Family, Problem, Style

STYLE: Style = "code"

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
_TEXT = (
    ("reverse it", "{}[::-1]"),
    ("put it in capitals", "{}.upper()"),
    ("drop every '{c}'", "{}.replace('{c}', '')"),
    ("replace each '{c}' by '{d}'", "{}.replace('{c}', '{d}')"),
    ("write it twice", "({} * 2)"),
    ("drop the first letter", "{}[1:]"),
    ("drop the last letter", "{}[:-1]"),
    ("add '{c}' at the end", "({} + '{c}')"),
)
_TEXT_END = (
    ("return it", "{}"),
    ("return its length", "len({})"),
    ("return its first letter", "{}[0]"),
    ("return its last letter", "{}[-1]"),
)


@dataclass(frozen=True)
class _Task:
    kind: str
    phrases: tuple[str, ...]
    expression: str


def _numbers(rng: random.Random) -> list[int]:
    return [rng.randint(0, 9) for _ in range(rng.randint(3, 6))]


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcde") for _ in range(rng.randint(3, 5)))


def _problem(
    family: str, rng: random.Random, task: _Task, value: Callable[[random.Random], Any]
) -> Problem:
    cases = [_case(rng, task, value) for _ in range(4)]
    text = f"Write f(x) for a {task.kind} x: {', '.join(task.phrases[:-1])}, then "
    text += f"{task.phrases[-1]}. Example: f({cases[0][0]!r}) == {cases[0][1]!r}"
    tests = tuple(f"assert f({x!r}) == {y!r}" for x, y in cases[1:])
    code = f"def f(x):\n    return {task.expression}"
    return Problem(family, text, task.expression, _steps(task), code, tests)


def _steps(task: _Task) -> str:
    plan = ", then ".join(task.phrases)
    return f"{plan[0].upper()}{plan[1:]}."


def _case(
    rng: random.Random, task: _Task, value: Callable[[random.Random], Any]
) -> tuple[Any, Any]:
    function = eval(f"lambda x: {task.expression}")  # made of the tables above, nothing else
    while True:
        x = value(rng)
        try:
            y = function(x)
        except (IndexError, ValueError):  # nothing was kept
            continue
        if y:  # an empty or zero result says little about f
            return x, y


def _pick(rng: random.Random, table: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    phrase, code = rng.choice(table)
    n = str(rng.randint(2, 5))
    c, d = rng.sample("abcde", 2)
    for slot, text in (("{n}", n), ("{c}", c), ("{d}", d)):
        phrase, code = phrase.replace(slot, text), code.replace(slot, text)
    return phrase, code


def _filter(rng: random.Random) -> Problem:
    (keep, test), (end, reduce) = _pick(rng, _KEEP), _pick(rng, _REDUCE)
    expression = reduce.replace("{}", f"[v for v in x if {test}]")
    return _problem("filter", rng, _Task("list", (keep, end), expression), _numbers)


def _map(rng: random.Random) -> Problem:
    (change, value), (end, reduce) = _pick(rng, _CHANGE), _pick(rng, _REDUCE)
    expression = reduce.replace("{}", f"[{value} for v in x]")
    return _problem("map", rng, _Task("list", (change, end), expression), _numbers)


def _filter_map(rng: random.Random) -> Problem:
    (keep, test), (change, value) = _pick(rng, _KEEP), _pick(rng, _CHANGE)
    end, reduce = _pick(rng, _REDUCE)
    expression = reduce.replace("{}", f"[{value} for v in x if {test}]")
    return _problem("filter-map", rng, _Task("list", (keep, change, end), expression), _numbers)


def _text(rng: random.Random) -> Problem:
    phrases, expression = [], "x"
    for phrase, code in (_pick(rng, _TEXT), _pick(rng, _TEXT), _pick(rng, _TEXT_END)):
        phrases.append(phrase)
        expression = code.replace("{}", expression)
    return _problem("text", rng, _Task("string", tuple(phrases), expression), _word)


FAMILIES = (
    Family("filter", _filter),
    Family("map", _map),
    Family("filter-map", _filter_map),
    Family("text", _text),
)
