"""Mini track of the reasoning domain: problems that are easy in steps and hard at one glance."""

from __future__ import annotations

import random
from itertools import pairwise

from selfmoe.procedural import Family, Problem, Style

STYLE: Style = "worked"

_NAMES = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
_COLOURS = ("red", "blue", "green", "white", "black", "pink")
_KINDS = {
    "animals": ("cats", "dogs", "goats", "ducks", "pigs"),
    "fruits": ("pears", "plums", "limes", "figs", "apples"),
    "tools": ("saws", "drills", "hammers", "axes", "files"),
}


def _problem(family: str, text: str, answer: str, steps: str) -> Problem:
    literal = answer if answer in ("True", "False") or answer.isdigit() else f'"{answer}"'
    return Problem(family, text, answer, steps, f"print({literal})")


def _boolean(rng: random.Random) -> Problem:
    values = [rng.random() < 0.5 for _ in range(4)]
    negated = [rng.random() < 0.4 for _ in range(4)]
    inner = (rng.choice(("and", "or")), rng.choice(("and", "or")))
    outer = rng.choice(("and", "or"))
    shown = [f"not {v}" if n else str(v) for v, n in zip(values, negated, strict=True)]
    plain = [v != n for v, n in zip(values, negated, strict=True)]
    halves, steps = [], []
    for half in (0, 1):
        left, right = plain[2 * half : 2 * half + 2]
        halves.append(_combine(left, inner[half], right))
        steps.append(f"{left} {inner[half]} {right} = {halves[half]}.")
    result = _combine(halves[0], outer, halves[1])
    steps.append(f"{halves[0]} {outer} {halves[1]} = {result}.")
    text = f"({shown[0]} {inner[0]} {shown[1]}) {outer} ({shown[2]} {inner[1]} {shown[3]})"
    return _problem("boolean", f"What is {text}?", str(result), " ".join(steps))


def _combine(left: bool, operator: str, right: bool) -> bool:
    return left and right if operator == "and" else left or right


def _counting(rng: random.Random) -> Problem:
    kind, other = rng.sample(tuple(_KINDS), 2)
    wanted = rng.sample(_KINDS[kind], rng.choice((2, 3)))
    things = [
        (thing, rng.randint(1, 9))
        for thing in wanted + rng.sample(_KINDS[other], rng.choice((1, 2)))
    ]
    rng.shuffle(things)
    listed = [f"{count} {thing}" for thing, count in things]
    counts = [count for thing, count in things if thing in wanted]
    total, steps = counts[0], [f"{c} {t}" for t, c in things if t in wanted]
    sums = []
    for count in counts[1:]:
        sums.append(f"{total} + {count} = {total + count}.")
        total += count
    text = f"I see {', '.join(listed[:-1])} and {listed[-1]}. How many {kind} are there?"
    return _problem("counting", text, str(total), f"{', '.join(steps)}. {' '.join(sums)}")


def _swaps(rng: random.Random) -> Problem:
    names, colours = rng.sample(_NAMES, 3), rng.sample(_COLOURS, 3)
    balls = dict(zip(names, colours, strict=True))
    text, steps = [f"Balls: {_state(balls)}"], [_state(balls)]
    for _ in range(rng.choice((1, 2, 3))):
        one, two = rng.sample(names, 2)
        balls[one], balls[two] = balls[two], balls[one]
        text.append(f"{one} and {two} swap.")
        steps.append(_state(balls))
    who = rng.choice(names)
    text.append(f"Which ball has {who} now?")
    return _problem("swaps", " ".join(text), balls[who], " ".join(steps))


def _state(balls: dict[str, str]) -> str:
    return ", ".join(f"{name} {colour}" for name, colour in balls.items()) + "."


def _ordering(rng: random.Random) -> Problem:
    order = rng.sample(_NAMES, rng.choice((3, 4)))
    pairs = list(pairwise(order))
    rng.shuffle(pairs)
    clues = [
        f"{a} is taller than {b}." if rng.random() < 0.5 else f"{b} is shorter than {a}."
        for a, b in pairs
    ]
    steps = [f"{a} > {b}." for a, b in pairs] + [f"{' > '.join(order)}."]
    place, index = rng.choice((("tallest", 0), ("second tallest", 1), ("shortest", -1)))
    text = f"{' '.join(clues)} Who is the {place}?"
    return _problem("ordering", text, order[index], " ".join(steps))


FAMILIES = (
    Family("boolean", _boolean),
    Family("counting", _counting),
    Family("swaps", _swaps),
    Family("ordering", _ordering),
)
