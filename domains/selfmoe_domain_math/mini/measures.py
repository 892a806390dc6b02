"""Word problems about time, speed, length and regular rows of numbers."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_math.mini.words import NAMES, problem


def _distance(rng: random.Random) -> Problem:
    way, speed = rng.choice(
        (("drives", 10 * rng.randint(3, 9)), ("walks", rng.randint(3, 6)), ("rides", 15))
    )
    hours = rng.randint(2, 9)
    text = f"Today {rng.choice(NAMES)} {way} at {speed} km an hour for {hours} hours. "
    steps = f"{hours} * {speed} = {hours * speed}."
    return problem("distance", f"{text}How many km is that?", hours * speed, steps)


def _area(rng: random.Random) -> Problem:
    place = rng.choice(("garden", "room", "field", "yard", "wall"))
    long, wide = rng.randint(3, 15), rng.randint(2, 9)
    text = f"A {place} is {long} meters long and {wide} meters wide. "
    if rng.random() < 0.5:
        area = wide * long
        return problem("area", f"{text}What is its area?", area, f"{wide} * {long} = {area}.")
    half = long + wide
    steps = f"{long} + {wide} = {half}. 2 * {half} = {2 * half}."
    return problem("area", f"{text}How long is its border?", 2 * half, steps)


def _clock(rng: random.Random) -> Problem:
    what = rng.choice(("film", "game", "train", "class", "show"))
    hour, minute = rng.randint(8, 20), rng.randint(2, 5) * 5
    hours, minutes = rng.randint(1, 3), rng.randint(1, 6) * 5
    later, end = minute + minutes, hour + hours
    text = f"The {what} starts at {hour}:{minute} and takes {hours}:{minutes:02}. When does it end?"
    steps = f"{minute} + {minutes} = {later}. {hour} + {hours} = {end}."
    return problem("clock", text, f"{end}:{later}", steps)


def _next(rng: random.Random) -> Problem:
    start, step = rng.randint(1, 30), rng.randint(2, 12)
    row = [start + step * i for i in range(4)]
    if rng.random() < 0.4:
        row.reverse()
    sign, last = ("+", row[-1] + step) if row[0] < row[-1] else ("-", row[-1] - step)
    if last < 0:
        return _next(rng)
    shown = ", ".join(map(str, row))
    low, high = sorted(row[:2])
    steps = f"{high} - {low} = {step}. {row[-1]} {sign} {step} = {last}."
    return problem("next", f"The row is {shown}. Which number comes next?", last, steps)


def _half(rng: random.Random) -> Problem:
    one, two = rng.sample(NAMES, 2)
    age = 2 * rng.randint(3, 25)
    years = rng.randint(2, 9)
    half = age // 2
    text = f"Today {one} is {age} years old and {two} is half as old. "
    text += f"How old is {two} in {years} years?"
    steps = f"{age} / 2 = {half}. {half} + {years} = {half + years}."
    return problem("half", text, half + years, steps)


FAMILIES = (
    Family("distance", _distance, "easy"),
    Family("area", _area, "medium"),
    Family("clock", _clock, "medium"),
    Family("half", _half, "medium"),
    Family("next", _next, "hard"),
)
