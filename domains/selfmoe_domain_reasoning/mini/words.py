"""Names and things that the reasoning problems are about, and how a problem is put together."""

from __future__ import annotations

from selfmoe.kits.domains import Problem

NAMES = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
COLOURS = ("red", "blue", "green", "white", "black", "pink")


def problem(family: str, text: str, answer: str, steps: str) -> Problem:
    """Return a problem whose code prints the answer, as a string unless it is a literal."""
    literal = answer if answer in ("True", "False") or answer.isdigit() else f'"{answer}"'
    return Problem(family, text, answer, steps, f"print({literal})")


def listed(items: list[str]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(items[:-1])} and {items[-1]}"
