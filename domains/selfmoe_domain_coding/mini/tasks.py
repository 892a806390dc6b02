"""How a coding problem is put together: phrases for the reader, an expression for Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from selfmoe.kits.domains import Problem

Phrase = tuple[str, str]
"""What to do in words and as an expression; `{}` stands for the value it works on."""

_TESTS = 3
_DRAWS, _TRIES = 8, 5


@dataclass(frozen=True)
class Task:
    """What a function does: its argument's kind, the phrases that say it, and its expression."""

    kind: str
    phrases: tuple[str, ...]
    expression: str


def pick(rng: random.Random, table: Sequence[Phrase]) -> Phrase:
    """Return one row of `table` with its slots {n}, {m}, {c} and {d} filled in."""
    phrase, code = rng.choice(table)
    c, d = rng.sample("abcde", 2)
    slots = {"{n}": str(rng.randint(2, 5)), "{m}": str(rng.randint(1, 9)), "{c}": c, "{d}": d}
    for slot, text in slots.items():
        phrase, code = phrase.replace(slot, text), code.replace(slot, text)
    return phrase, code


def problem(
    family: str,
    rng: random.Random,
    make: Callable[[], Task],
    value: Callable[[random.Random], Any],
) -> Problem:
    """Return a problem whose example and hidden tests tell its function from a constant.

    Args:
        family: Name of the family.
        rng: Source of all randomness.
        make: Makes a task; called again if the task gives nothing but one result.
        value: Makes an argument.
    """
    while True:
        task = make()
        cases = _cases(rng, task, value)
        if cases is not None:
            return _problem(family, task, cases)


def _problem(family: str, task: Task, cases: list[tuple[Any, Any]]) -> Problem:
    plan = ", then ".join(task.phrases)
    (x, y), *hidden = cases
    text = f"Write f(x) for a {task.kind} x: {plan}. Example: f({x!r}) == {y!r}"
    tests = tuple(f"assert f({a!r}) == {b!r}" for a, b in hidden)
    code = f"def f(x):\n    return {task.expression}"
    steps = f"{plan[0].upper()}{plan[1:]}."
    return Problem(family, text, task.expression, steps, code, tests)


def _cases(
    rng: random.Random, task: Task, value: Callable[[random.Random], Any]
) -> list[tuple[Any, Any]] | None:
    function = eval(f"lambda x: {task.expression}")  # made of the tables here, nothing else
    for _ in range(_TRIES):
        found = [case for case in (_case(function, value(rng)) for _ in range(_DRAWS)) if case]
        cases, hidden = found[: _TESTS + 1], found[1 : _TESTS + 1]
        if len(hidden) == _TESTS and len({repr(y) for _, y in hidden}) > 1:
            return cases
    return None


def _case(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any] | None:
    try:
        y = function(x)
    except (IndexError, ValueError):  # nothing was left to work on
        return None
    return (x, y) if y or y is False else None  # an empty or zero result says little about f
