"""Mini track of the math domain: one- and two-step word problems with small numbers."""

from __future__ import annotations

import random

from selfmoe.procedural import Family, Problem, Style

STYLE: Style = "marked"

_NAMES = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
_THINGS = ("apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps")


def _problem(family: str, text: str, answer: int, steps: str) -> Problem:
    return Problem(family, text, str(answer), steps, f"print({answer})")


def _change(rng: random.Random) -> Problem:
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    count, price = rng.randint(2, 9), rng.randint(2, 9)
    cost = count * price
    paid = rng.choice([note for note in (20, 50, 100) if note > cost])
    text = f"{name} buys {count} {thing} at {price} dollars each and pays with {paid} dollars."
    steps = f"{count} * {price} = {cost}. {paid} - {cost} = {paid - cost}."
    return _problem("change", f"{text} How many dollars come back?", paid - cost, steps)


def _give_and_get(rng: random.Random) -> Problem:
    (one, two), thing = rng.sample(_NAMES, 2), rng.choice(_THINGS)
    start, more = rng.randint(10, 60), rng.randint(2, 30)
    less = rng.randint(2, start - 1)
    left = start - less
    text = f"{one} has {start} {thing}, gives {less} to {two} and then gets {more} more."
    steps = f"{start} - {less} = {left}. {left} + {more} = {left + more}."
    return _problem("give-and-get", f"{text} How many {thing} has {one} now?", left + more, steps)


def _share(rng: random.Random) -> Problem:
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    people, each = rng.randint(2, 9), rng.randint(3, 12)
    total, used = people * each, rng.randint(1, each - 1)
    text = f"{people} friends share {total} {thing} equally. "
    text += f"{name} is one of them and loses {used}."
    steps = f"{total} / {people} = {each}. {each} - {used} = {each - used}."
    return _problem("share", f"{text} How many has {name} left?", each - used, steps)


def _groups(rng: random.Random) -> Problem:
    thing = rng.choice(_THINGS)
    boxes, in_box, bags, in_bag = (rng.randint(2, 9) for _ in range(4))
    first, second = boxes * in_box, bags * in_bag
    text = f"There are {boxes} boxes with {in_box} {thing} each and {bags} bags with {in_bag} each."
    steps = f"{boxes} * {in_box} = {first}. {bags} * {in_bag} = {second}. "
    steps += f"{first} + {second} = {first + second}."
    return _problem("groups", f"{text} How many {thing} are there?", first + second, steps)


FAMILIES = (
    Family("change", _change),
    Family("give-and-get", _give_and_get),
    Family("share", _share),
    Family("groups", _groups),
)
