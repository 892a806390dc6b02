"""Finding the answer in a completion: one rule a kind of answer.

numbers   bare, marked, money, fractions, amounts with a unit    read by notation, scan
words     options, yes or no, dates, sets, short phrases
latex     mathematics, compared by forms                         read by plain, units

Each rule returns a canonical text to compare, or ``None`` if it finds nothing; none ever raises.
``RULES`` lists them for the documentation and for ``selfmoe explain-score``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from selfmoe.evaluation.answers.forms import plain_math, same_math
from selfmoe.evaluation.answers.latex import any_math, boxed, final_math
from selfmoe.evaluation.answers.numbers import (
    final_number,
    fraction,
    last_number,
    marked_number,
    money,
    quantity,
    stated,
)
from selfmoe.evaluation.answers.words import boolean, date, letter, members, short

__all__ = [
    "RULES",
    "Rule",
    "any_math",
    "boolean",
    "boxed",
    "date",
    "describe",
    "final_math",
    "final_number",
    "fraction",
    "last_number",
    "letter",
    "marked_number",
    "members",
    "money",
    "plain_math",
    "quantity",
    "same_math",
    "short",
    "stated",
]


class Rule(NamedTuple):
    """A way to find an answer.

    Attributes:
        about: What it takes for the answer, in words.
        find: The function: completion -> canonical answer or ``None``.
    """

    about: str
    find: Callable[[str], str | None]


def _rule(find: Callable[[str], str | None]) -> Rule:
    """Return a rule that is described by the docstring of its function."""
    about = " ".join((find.__doc__ or "").replace("``", "'").split()).removeprefix("Return ")
    return Rule(about[:1].upper() + about[1:], find)


RULES: Mapping[str, Rule] = {
    "marked-number": _rule(marked_number),
    "last-number": _rule(last_number),
    "final-number": _rule(final_number),
    "money": _rule(money),
    "fraction": _rule(fraction),
    "quantity": _rule(quantity),
    "letter": _rule(letter),
    "boolean": _rule(boolean),
    "date": _rule(date),
    "set": _rule(members),
    "short": _rule(short),
    "boxed": _rule(boxed),
    "final-math": _rule(final_math),
    "any-math": _rule(any_math),
}
"""Rules by name, as benchmarks give them in ``Benchmark.rule``."""


def describe(rule: str) -> str:
    """Return what a benchmark's ``rule`` means: a rule's description, or the sentence it is."""
    known = RULES.get(rule)
    return f"{rule}: {known.about}" if known else rule
