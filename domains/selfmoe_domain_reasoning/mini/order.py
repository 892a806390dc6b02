"""Days that pass, who has most, who is tallest."""

from __future__ import annotations

import random
from itertools import pairwise

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_reasoning.mini.words import NAMES, listed, problem

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_THINGS = ("pens", "books", "cards", "coins", "eggs", "shells")


def _days(rng: random.Random) -> Problem:
    day, many = rng.randrange(7), rng.randint(1, 5)
    later = rng.random() < 0.6
    passed = [_DAYS[(day + (i if later else -i)) % 7] for i in range(1, many + 1)]
    when = f"{many} {'day' if many == 1 else 'days'} {'after' if later else 'before'} that"
    text = f"Today {rng.choice(NAMES)} works; it is {_DAYS[day]}. What day is {when}?"
    return problem("days", text, passed[-1], f"Days: {', '.join(passed)}.")


def _most(rng: random.Random) -> Problem:
    names = rng.sample(NAMES, rng.choice((3, 3, 4)))
    counts = rng.sample(range(1, 30), len(names))
    most = rng.random() < 0.6
    has = list(zip(names, counts, strict=True))
    best, steps = has[0], []
    for one in has:
        best = one if (one[1] > best[1]) == most else best
        steps.append(f"{best[0]} {best[1]}")
    text = f"Here {listed([f'{name} has {count}' for name, count in has])} "
    text += f"{rng.choice(_THINGS)}. Who has the {'most' if most else 'fewest'}?"
    return problem("most", text, best[0], f"So far {', '.join(steps)}.")


def _tallest(rng: random.Random) -> Problem:
    order = rng.sample(NAMES, 3)
    pairs = list(pairwise(order))
    rng.shuffle(pairs)
    clues = [
        f"Here {a} is taller than {b}." if rng.random() < 0.5 else f"Here {b} is shorter than {a}."
        for a, b in pairs
    ]
    steps = f"Pairs {', '.join(f'{a} > {b}' for a, b in pairs)}. Row {' > '.join(order)}."
    place, index = rng.choice((("tallest", 0), ("second", 1), ("shortest", -1)))
    return problem("tallest", f"{' '.join(clues)} Who is the {place}?", order[index], steps)


FAMILIES = (
    Family("days", _days, "easy"),
    Family("most", _most, "medium"),
    Family("tallest", _tallest, "hard"),
)
