"""Toolbox for mini tracks about facts: multiple-choice families from tables of facts.

    CAPITALS = facts("France Paris, Peru Lima, Spain Madrid, Kenya Nairobi")
    family = lookup("capitals", CAPITALS, "What is the capital of {}?", "The capital of {} is {}.")

Every problem lists four options in random order; the answer is the text of the right one, and the
fact itself is the worked step.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from selfmoe.kits.domains.procedural import Family, Level, Problem

OPTIONS = 4


def facts(table: str) -> dict[str, str]:
    """Return "key value, key value" as a mapping; "_" stands for a space inside a name."""
    rows = (row.split() for row in table.split(","))
    return {key.replace("_", " "): value.replace("_", " ") for key, value in rows}


def multiple_choice(
    family: str, rng: random.Random, question: str, answer: str, others: Iterable[str], fact: str
) -> Problem:
    """Return one multiple-choice problem.

    Args:
        family: Name of the family.
        rng: Picks the wrong options and the order.
        question: What is asked.
        answer: The right option.
        others: Wrong options, at least three different ones.
        fact: A sentence that holds the answer.
    """
    options = [answer, *rng.sample(list(dict.fromkeys(others)), OPTIONS - 1)]
    rng.shuffle(options)
    text = f"{question} Options: {', '.join(options)}."
    return Problem(family, text, answer, fact, f'print("{answer}")')


def lookup(
    name: str,
    table: Mapping[str, str],
    question: str,
    statement: str,
    level: Level = "medium",
) -> Family:
    """Return a family that asks for the value of a key of `table`.

    Args:
        name: Name of the family.
        table: The facts; values may repeat, but there must be four different ones.
        question: Has one `{}` for the key.
        statement: The fact, with one `{}` for the key and one for the value.
        level: How hard its problems are meant to be.
    """

    def make(rng: random.Random) -> Problem:
        key = rng.choice(list(table))
        others = [value for value in table.values() if value != table[key]]
        fact = statement.format(key, table[key])
        return multiple_choice(name, rng, question.format(key), table[key], others, fact)

    return Family(name, make, level)


def member(
    name: str,
    classes: Mapping[str, Sequence[str]],
    question: str,
    statement: str,
    level: Level = "medium",
) -> Family:
    """Return a family that asks which option belongs to a class.

    Args:
        name: Name of the family.
        classes: Members by class, as the question and the statement name it.
        question: Has one `{}` for the class.
        statement: The fact, with one `{}` for the member and one for the class.
        level: How hard its problems are meant to be.
    """

    def make(rng: random.Random) -> Problem:
        chosen = rng.choice(list(classes))
        answer = rng.choice(classes[chosen])
        others = [one for other, members in classes.items() if other != chosen for one in members]
        fact = statement.format(answer, chosen)
        return multiple_choice(name, rng, question.format(chosen), answer, others, fact)

    return Family(name, make, level)


def outsider(
    name: str,
    classes: Mapping[str, Sequence[str]],
    question: str,
    statement: str,
    level: Level = "hard",
) -> Family:
    """Return a family that asks which option does not belong to a class; as `member` else."""

    def make(rng: random.Random) -> Problem:
        chosen, other = rng.sample(list(classes), 2)
        answer = rng.choice(classes[other])
        fact = statement.format(answer, other)
        return multiple_choice(name, rng, question.format(chosen), answer, classes[chosen], fact)

    return Family(name, make, level)
