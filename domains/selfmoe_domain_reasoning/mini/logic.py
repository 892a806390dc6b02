"""Truth values: comparisons, boolean expressions, and who lies."""

from __future__ import annotations

import random
from itertools import pairwise

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_reasoning.mini.words import NAMES, problem


def _combine(left: bool, operator: str, right: bool) -> bool:
    return left and right if operator == "and" else left or right


def _comparison(rng: random.Random) -> tuple[str, bool]:
    left, right = rng.sample(range(10), 2)
    sign = rng.choice("<>")
    return f"{left} {sign} {right}", left < right if sign == "<" else left > right


def _comparisons(rng: random.Random) -> Problem:
    (one, first), (two, second) = _comparison(rng), _comparison(rng)
    operator = rng.choice(("and", "or"))
    result = _combine(first, operator, second)
    steps = f"{one} is {first}. {two} is {second}. {first} {operator} {second} is {result}."
    text = f"Is it true that {one} {operator} {two}?"
    return problem("comparisons", text, str(result), steps)


def _boolean(rng: random.Random) -> Problem:
    values = [rng.random() < 0.5 for _ in range(4)]
    negated = [rng.random() < 0.3 for _ in range(4)]
    inner = (rng.choice(("and", "or")), rng.choice(("and", "or")))
    outer = rng.choice(("and", "or"))
    shown = [f"not {v}" if n else str(v) for v, n in zip(values, negated, strict=True)]
    plain = [v != n for v, n in zip(values, negated, strict=True)]
    halves, steps = [], []
    for half in (0, 1):
        left, right = plain[2 * half : 2 * half + 2]
        halves.append(_combine(left, inner[half], right))
        steps.append(f"{left} {inner[half]} {right} is {halves[half]}.")
    result = _combine(halves[0], outer, halves[1])
    steps.append(f"{halves[0]} {outer} {halves[1]} is {result}.")
    text = f"({shown[0]} {inner[0]} {shown[1]}) {outer} ({shown[2]} {inner[1]} {shown[3]})"
    return problem("boolean", f"What is {text}?", str(result), " ".join(steps))


def _lies(rng: random.Random) -> Problem:
    names = rng.sample(NAMES, rng.choice((2, 3, 3)))
    honest = rng.random() < 0.5
    text = [f"Here {names[0]} {'tells the truth' if honest else 'lies'}."]
    steps = [f"Here {names[0]} {'is honest' if honest else 'lies'}."]
    for before, speaker in pairwise(names):
        claim = rng.random() < 0.5
        text.append(f"Now {speaker} says {before} {'tells the truth' if claim else 'lies'}.")
        honest = claim == honest
        steps.append(f"Then {speaker} {'is honest' if honest else 'lies'}.")
    text.append(f"Does {names[-1]} tell the truth?")
    return problem("lies", " ".join(text), "yes" if honest else "no", " ".join(steps))


FAMILIES = (
    Family("comparisons", _comparisons, "easy"),
    Family("boolean", _boolean, "medium"),
    Family("lies", _lies, "hard"),
)
