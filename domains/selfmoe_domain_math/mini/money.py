"""Word problems about prices and change."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_math.mini.words import NAMES, THINGS, problem


def _change(rng: random.Random) -> Problem:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    count, price = rng.randint(2, 9), rng.randint(2, 9)
    cost = count * price
    paid = rng.choice([note for note in (20, 50, 100) if note > cost])
    text = f"Today {name} buys {count} {thing} at {price} dollars each and pays {paid} dollars. "
    text += "How many dollars come back?"
    steps = f"{count} * {price} = {cost}. {paid} - {cost} = {paid - cost}."
    return problem("change", text, paid - cost, steps)


def _savings(rng: random.Random) -> Problem:
    name, weeks, saved = rng.choice(NAMES), rng.randint(2, 9), rng.randint(2, 9)
    start = rng.randint(5, 40)
    gained = weeks * saved
    text = f"Today {name} has {start} dollars and saves {saved} dollars a week. "
    text += f"How many dollars are there after {weeks} weeks?"
    steps = f"{weeks} * {saved} = {gained}. {start} + {gained} = {start + gained}."
    return problem("savings", text, start + gained, steps)


def _cheaper(rng: random.Random) -> Problem:
    thing, each, times = rng.choice(THINGS), rng.randint(2, 9), rng.randint(2, 9)
    total = each * times
    off = rng.randint(1, total - 1)
    text = f"One pack of {thing} costs {each} dollars. A box of {times} packs is {off} dollars "
    text += "cheaper than the packs. What does the box cost?"
    steps = f"{times} * {each} = {total}. {total} - {off} = {total - off}."
    return problem("cheaper", text, total - off, steps)


FAMILIES = (
    Family("change", _change, "medium"),
    Family("savings", _savings, "medium"),
    Family("cheaper", _cheaper, "hard"),
)
