"""Names and things that the word problems are about, and how a problem is put together."""

from __future__ import annotations

from selfmoe.kits.domains import Problem

NAMES = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
THINGS = ("apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps")


def problem(family: str, text: str, answer: int | str, steps: str) -> Problem:
    """Return a problem whose code prints the answer: a number as it is, a text in quotes."""
    literal = answer if isinstance(answer, int) else f'"{answer}"'
    return Problem(family, text, str(answer), steps, f"print({literal})")
