"""Rows and tables that are read, counted and searched."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_reasoning.mini.words import COLOURS, NAMES, listed, problem

_PLACES = ("first", "second", "third", "fourth", "fifth")
_KINDS = {
    "animals": ("cats", "dogs", "goats", "ducks", "pigs"),
    "fruits": ("pears", "plums", "limes", "figs", "apples"),
    "tools": ("saws", "drills", "hammers", "axes", "files"),
}


def _place(rng: random.Random) -> Problem:
    row = rng.sample(COLOURS, rng.choice((4, 5)))
    place = rng.randrange(1, len(row))
    steps = ", ".join(f"{number} {colour}" for number, colour in enumerate(row[: place + 1], 1))
    text = f"The row is {', '.join(row)}. What is the {_PLACES[place]}?"
    return problem("place", text, row[place], f"Count {steps}.")


def _table(rng: random.Random) -> Problem:
    rows = list(
        zip(rng.sample(NAMES, 3), rng.sample(COLOURS, 3), rng.sample(range(2, 20), 3), strict=True)
    )
    shown = [f"{name} {colour} {count}" for name, colour, count in rows]
    name, colour, count = row = rng.choice(rows)
    asked, answer = rng.choice(
        (
            (f"Who has {colour}?", name),
            (f"Which colour has {name}?", colour),
            (f"Which number has {name}?", str(count)),
            (f"Which number goes with {colour}?", str(count)),
        )
    )
    steps = f"The row is {shown[rows.index(row)]}."
    return problem("table", f"The table is {'; '.join(shown)}. {asked}", answer, steps)


def _tally(rng: random.Random) -> Problem:
    colours = rng.sample(COLOURS, 3)
    row = [rng.choice(colours) for _ in range(rng.choice((4, 5, 6)))]
    asked = rng.choice(row)
    counted, steps = 0, []
    for colour in row:
        counted += colour == asked
        steps.append(f"{colour} {counted}")
    text = f"The row is {', '.join(row)}. How many are {asked}?"
    return problem("tally", text, str(counted), f"Count {', '.join(steps)}.")


def _counting(rng: random.Random) -> Problem:
    kind, other = rng.sample(tuple(_KINDS), 2)
    wanted = rng.sample(_KINDS[kind], rng.choice((2, 2, 3)))
    names = wanted + rng.sample(_KINDS[other], rng.choice((1, 2)))
    things = [(thing, rng.randint(1, 9)) for thing in names]
    rng.shuffle(things)
    counts = [count for thing, count in things if thing in wanted]
    total, sums = counts[0], []
    for count in counts[1:]:
        sums.append(f"{total} + {count} = {total + count}.")
        total += count
    found = ", ".join(f"{count} {thing}" for thing, count in things if thing in wanted)
    text = f"I see {listed([f'{count} {thing}' for thing, count in things])}. "
    text += f"How many {kind} are there?"
    return problem("counting", text, str(total), f"The {kind}: {found}. {' '.join(sums)}")


FAMILIES = (
    Family("place", _place, "easy"),
    Family("table", _table, "easy"),
    Family("tally", _tally, "medium"),
    Family("counting", _counting, "hard"),
)
