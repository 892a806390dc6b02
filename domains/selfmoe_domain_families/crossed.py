"""Problems that need what two of the mini domains know."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_knowledge.mini.nature import CLASSES
from selfmoe_domain_knowledge.mini.places import CAPITAL

_TESTS = (("is even", "x % 2 == 0", 0), ("is odd", "x % 2 == 1", 1))
_KINDS = {"a mammal": "mammals", "a bird": "birds", "a fish": "fish", "a reptile": "reptiles"}
_IRREGULAR = ("deer", "fox", "goose", "mouse")
_ANIMALS = {kind: [one for one in CLASSES[kind] if one not in _IRREGULAR] for kind in _KINDS}


def _fact_in_code(rng: random.Random) -> Problem:
    """Return a function to write whose result is a fact that the task does not state."""
    country, other = rng.choice(list(CAPITAL)), rng.choice(("no", "yes", "bad", "good"))
    says, test, rest = rng.choice(_TESTS)
    shown, hidden = rng.sample([x for x in range(1, 21) if x % 2 != rest], 2)
    tested = rng.choice([x for x in range(1, 21) if x % 2 == rest])
    answer = f"'{CAPITAL[country]}' if {test} else '{other}'"
    text = f"Write f(x) for a number x: return the capital of {country} if it {says}, "
    text += f"else '{other}'. Example: f({shown}) == '{other}'"
    tests = (f"assert f({tested}) == '{CAPITAL[country]}'", f"assert f({hidden}) == '{other}'")
    steps = f"The capital of {country} is {CAPITAL[country]}."
    code = f"def f(x):\n    return {answer}"
    return Problem("fact-in-code", text, answer, steps, code, tests)


def _facts_in_sums(rng: random.Random) -> Problem:
    """Return a word problem in which only facts tell what is to be counted."""
    asked, beside = rng.sample(list(_KINDS), 2)
    one, other = rng.choice(_ANIMALS[asked]), rng.choice(_ANIMALS[beside])
    boxes, each, others, every = (rng.randint(2, 9) for _ in range(4))
    parts = [f"{boxes} boxes with {each} {one}s each", f"{others} boxes with {every} {other}s each"]
    rng.shuffle(parts)
    text = f"There are {parts[0]} and {parts[1]}. How many {_KINDS[asked]} are there?"
    total = boxes * each
    steps = f"{boxes} * {each} = {total}."
    return Problem("facts-in-sums", text, str(total), steps, f"print({total})")


FAMILIES = (
    Family("fact-in-code", _fact_in_code, "hard"),
    Family("facts-in-sums", _facts_in_sums, "hard"),
)
