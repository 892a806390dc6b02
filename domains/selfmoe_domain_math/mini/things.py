"""Word problems about things that people have, get, give away and share."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_math.mini.words import NAMES, THINGS, problem


def _get(rng: random.Random) -> Problem:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    start, more = rng.randint(5, 60), rng.randint(2, 30)
    text = f"Today {name} has {start} {thing} and gets {more} more. How many are there now?"
    return problem("get", text, start + more, f"{start} + {more} = {start + more}.")


def _give(rng: random.Random) -> Problem:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    start = rng.randint(10, 80)
    less = rng.randint(2, start - 1)
    text = f"Today {one} has {start} {thing} and gives {less} to {two}. How many are left?"
    return problem("give", text, start - less, f"{start} - {less} = {start - less}.")


def _boxes(rng: random.Random) -> Problem:
    thing, boxes, each = rng.choice(THINGS), rng.randint(2, 9), rng.randint(2, 12)
    text = f"There are {boxes} boxes with {each} {thing} in each. How many {thing} are there?"
    return problem("boxes", text, boxes * each, f"{boxes} * {each} = {boxes * each}.")


def _split(rng: random.Random) -> Problem:
    thing, people, each = rng.choice(THINGS), rng.randint(2, 9), rng.randint(2, 12)
    total = people * each
    text = f"Here {people} friends share {total} {thing} equally. How many does each one get?"
    return problem("split", text, each, f"{total} / {people} = {each}.")


def _give_and_get(rng: random.Random) -> Problem:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    start, more = rng.randint(10, 60), rng.randint(2, 30)
    less = rng.randint(2, start - 1)
    left = start - less
    text = f"Today {one} has {start} {thing}, gives {less} to {two} and then gets {more} more. "
    text += "How many are there now?"
    steps = f"{start} - {less} = {left}. {left} + {more} = {left + more}."
    return problem("give-and-get", text, left + more, steps)


def _together(rng: random.Random) -> Problem:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    few, more = rng.randint(3, 30), rng.randint(2, 20)
    many = few + more
    text = f"Today {one} has {few} {thing} and {two} has {more} more than {one}. "
    text += "How many do they have together?"
    steps = f"{few} + {more} = {many}. {few} + {many} = {few + many}."
    return problem("together", text, few + many, steps)


def _groups(rng: random.Random) -> Problem:
    thing = rng.choice(THINGS)
    boxes, in_box, bags, in_bag = (rng.randint(2, 9) for _ in range(4))
    first, second = boxes * in_box, bags * in_bag
    text = f"There are {boxes} boxes with {in_box} {thing} each and {bags} bags with {in_bag} each."
    steps = f"{boxes} * {in_box} = {first}. {bags} * {in_bag} = {second}. "
    steps += f"{first} + {second} = {first + second}."
    return problem("groups", f"{text} How many {thing} are there?", first + second, steps)


FAMILIES = (
    Family("get", _get, "easy"),
    Family("give", _give, "easy"),
    Family("boxes", _boxes, "easy"),
    Family("split", _split, "medium"),
    Family("give-and-get", _give_and_get, "medium"),
    Family("together", _together, "hard"),
    Family("groups", _groups, "hard"),
)
