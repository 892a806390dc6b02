"""Reads the tasks of the domain `coding`: the expression that its phrases amount to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from readers.rules import Truth
from selfmoe.contracts.randomness import rng_for
from selfmoe_domain_coding.mini import lists, numbers, texts
from selfmoe_domain_coding.mini.tasks import Phrase

CASES, _TRIES, _FEWEST = 20, 400, 5

_TASK = re.compile(
    r"Write f\(x\) for a (?P<kind>list|string|number) x: (?P<plan>.+?)\."
    r"(?: Example: f\((?P<given>.+)\) == (?P<result>.+?))?\.?"
)
_SLOTS = {"n": r"\d{1,3}", "m": r"\d{1,3}", "c": r"[\w ,;.-]{1,5}", "d": r"[\w ,;.-]{1,5}"}
_LABEL = re.compile(r"return '(?P<yes>[\w ]{1,12})' if it (?P<test>.+), else '(?P<no>[\w ]{1,12})'")
_TYPES = {"list": list, "string": str, "number": int}


@dataclass(frozen=True)
class FunctionTruth(Truth):
    """The function that is asked for.

    Attributes:
        tests: `assert` statements about `f` on random arguments, as the phrases say; and the task's
            own example, if it has one that agrees.
    """

    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Step:
    """A phrase read: the table it is from, what it yields, and its expression in `x`."""

    table: str
    result: str
    code: str


def read(text: str) -> FunctionTruth | None:
    """Return the function a task asks for; None if it makes no sense or is no task of the domain.

    Phrases of the families may be put together in any order that fits. An example that
    contradicts them makes the task a spoilt one.
    """
    found = _TASK.fullmatch(" ".join(text.split()))
    steps = _steps(found["kind"], found["plan"].split(", then ")) if found else None
    if not found or not steps:
        return None
    expression = "x"
    for step in steps:
        expression = re.sub(r"\bx\b", lambda _, inner=expression: f"({inner})", step.code)  # type: ignore[misc]
    tests, family = _tests(found["kind"], expression), _family(found["kind"], steps)
    if len(tests) < _FEWEST:
        return None
    if found["given"] is None:
        return FunctionTruth(family, expression, tests=tuple(tests))
    try:
        given, result = ast.literal_eval(found["given"]), ast.literal_eval(found["result"])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    wrong = _call(expression, given) != (result,) or not isinstance(given, _TYPES[found["kind"]])
    example = [] if wrong else [f"assert f({given!r}) == {result!r}"]
    return FunctionTruth(family, expression, wrong, (*example, *tests))


def _steps(kind: str, phrases: Sequence[str]) -> list[_Step] | None:
    """Return the phrases read one after the other; None if one does not fit what is before it."""
    steps: list[_Step] = []
    for phrase in phrases:
        step = next(_readings(kind, phrase), None)
        if step is None:
            return None
        steps.append(step)
        kind = step.result
    return steps


def _readings(kind: str, phrase: str) -> Iterator[_Step]:
    """Yield how a phrase about a value of some kind can be read."""
    for table, taken, rows, wrap, result in _TABLES:
        for row in rows if taken == kind else ():
            filled = _fill(row, phrase)
            if filled is not None and not (table == "take" and re.search(r"\b0\b", phrase)):
                yield _Step(table, result(phrase), wrap(filled))
    label = _LABEL.fullmatch(phrase) if kind == "number" else None
    for row in numbers._TEST if label else ():
        test = _fill(row, label["test"]) if label else None
        if label and test is not None:
            yield _Step("label", "string", f"{label['yes']!r} if {test} else {label['no']!r}")


def _fill(row: Phrase, phrase: str) -> str | None:
    """Return the row's code with the slots as in the phrase; None if the phrase is another one."""
    words, code = row
    pattern = re.escape(words)
    for name, slot in _SLOTS.items():
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{slot})", 1)
    found = re.fullmatch(re.sub(r"\b(?:the|its)\b", "(?:the|its)", pattern), phrase)
    for name, value in found.groupdict().items() if found else ():
        code = code.replace(f"{{{name}}}", str(int(value)) if name in "nm" else value)
    return code if found else None


def _hole(code: str) -> str:
    return code.replace("{}", "x")


def _after_reduce(phrase: str) -> str:
    return "list" if phrase.startswith(("sort", "reverse")) else "number"


def _after_text(phrase: str) -> str:
    return {"return its length": "number", "count the words": "number"}.get(
        phrase, "list of words" if phrase.startswith("sort") else "string"
    )


def _always(kind: str) -> Callable[[str], str]:
    return lambda phrase: kind


_TABLES: tuple[
    tuple[str, str, Sequence[Phrase], Callable[[str], str], Callable[[str], str]], ...
] = (
    ("filter", "list", lists._KEEP, lambda c: f"[v for v in x if {c}]", _always("list")),
    ("map", "list", lists._CHANGE, lambda c: f"[{c} for v in x]", _always("list")),
    ("take", "list", lists._TAKE, _hole, _always("list")),
    ("reduce", "list", lists._REDUCE, _hole, _after_reduce),
    ("how-often", "list", lists._HOW_OFTEN, _hole, _always("number")),
    ("words", "string", texts._WORDS, _hole, _after_text),
    ("string", "string", (*texts._TEXT, *texts._END), _hole, _after_text),
    ("arithmetic", "number", (*numbers._FIRST, *numbers._THEN), _hole, _always("number")),
    (
        "test",
        "number",
        [(f"say if it {phrase}", code) for phrase, code in numbers._TEST],
        _hole,
        _always("truth value"),
    ),
)


def _family(kind: str, steps: Sequence[_Step]) -> str:
    """Return the family that puts such phrases together, or the one of the first phrase."""
    used = [step.table for step in steps]
    if used[:2] == ["filter", "map"]:
        return "filter-map"
    return "chain" if kind == "string" and len(used) > 1 else used[0]


def _tests(kind: str, expression: str) -> list[str]:
    """Return what holds of the function on random arguments; fewer if most of them fail."""
    rng = rng_for("reader", kind, expression)
    make: dict[str, list[Callable[[], Any]]] = {
        "list": [lambda: lists._list(3, 7, rng)],
        "string": [lambda: texts._word(rng), lambda: texts._sentence(rng)],
        "number": [lambda: numbers._number(rng)],
    }
    tests: list[str] = []
    for turn in range(_TRIES):
        given = make[kind][turn % len(make[kind])]()
        if len(tests) < CASES and (result := _call(expression, given)):
            tests.append(f"assert f({given!r}) == {result[0]!r}")
    return tests


def _call(expression: str, given: Any) -> tuple[Any] | None:
    """Return the value of an expression made of the families' tables; None if there is none."""
    try:
        return (eval(_compiled(expression), {}, {"x": given}),)
    except (IndexError, ValueError, TypeError, ArithmeticError, AttributeError):
        return None


@lru_cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, "<phrases>", "eval")
