"""Families of kitchen problems: small functions that make one problem each."""

from __future__ import annotations

import random

from selfmoe.procedural import Family, Problem

DISHES = ("cake", "pie", "salad", "soup", "bread")
FOODS = ("apples", "eggs", "nuts", "plums", "carrots")


def _portions(rng: random.Random) -> Problem:
    dish, food = rng.choice(DISHES), rng.choice(FOODS)
    each, times = rng.randint(2, 9), rng.randint(2, 9)
    total = each * times
    return Problem(
        family="portions",
        input=f"A {dish} takes {each} {food}. How many {food} are there in {times} of them?",
        answer=str(total),
        steps=f"{times} * {each} = {total}.",
        code=f"print({times} * {each})",
    )


def _oven(rng: random.Random) -> Problem:
    dish = rng.choice(DISHES)
    first, more = rng.randint(10, 80), rng.randint(2, 30)
    text = f"A {dish} is in the oven for {first} minutes and then {more} more. How long is that?"
    total = first + more
    return Problem("oven", text, f"{total}", f"{first} + {more} = {total}.", f"print({total})")


def _left(rng: random.Random) -> Problem:
    dish, food = rng.choice(DISHES), rng.choice(FOODS)
    had = rng.randint(10, 80)
    used = rng.randint(2, had - 1)
    text = f"A cook has {had} {food} and uses {used} for a {dish}. How many are left?"
    left = had - used
    return Problem("left", text, f"{left}", f"{had} - {used} = {left}.", f"print({left})")


FAMILIES = (Family("portions", _portions), Family("oven", _oven), Family("left", _left, "easy"))
