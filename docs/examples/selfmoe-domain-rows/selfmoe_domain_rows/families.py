"""Families of problems about rows of numbers: small functions that make one problem each."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem


def _up(rng: random.Random) -> Problem:
    start, step = rng.randint(1, 60), rng.randint(2, 12)
    row = [start + step * place for place in range(5)]
    return Problem(
        family="up",
        input=f"The row is {row[0]}, {row[1]}, {row[2]}, {row[3]}. Which number comes next?",
        answer=str(row[4]),
        steps=f"{row[1]} - {row[0]} = {step}. {row[3]} + {step} = {row[4]}.",
        code=f"print({row[3]} + {step})",
    )


def _down(rng: random.Random) -> Problem:
    end, step = rng.randint(0, 60), rng.randint(2, 12)
    row = [end + step * place for place in range(4, -1, -1)]
    return Problem(
        family="down",
        input=f"The row is {row[0]}, {row[1]}, {row[2]}, {row[3]}. Which number comes next?",
        answer=str(row[4]),
        steps=f"{row[0]} - {row[1]} = {step}. {row[3]} - {step} = {row[4]}.",
        code=f"print({row[3]} - {step})",
    )


FAMILIES = (Family("up", _up), Family("down", _down))
