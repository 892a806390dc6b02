"""Reads the tasks of the domain `knowledge`: the right option, by the facts of its families."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from readers.rules import Truth, form
from selfmoe_domain_knowledge.mini import nature, people, places

_TASK = re.compile(r"(?P<question>.+\?) Options: (?P<options>[^?:]+?)\.?")

_LOOKUPS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("capitals", "What is the capital of {key*}?", places.CAPITAL),
    ("countries", "Which country has the capital {key*}?", places._COUNTRY),
    ("languages", "Which language is spoken in {key*}?", places._LANGUAGE),
    ("symbols", "What is the symbol of {key*}?", nature._SYMBOL),
    ("elements", "Which element has the symbol {key*}?", nature._ELEMENT),
    ("young", "What is the young of the {key*} called?", nature._YOUNG),
    ("homes", "Where is the home of the {key*}?", nature._HOME),
    ("opposites", "What is the opposite of {key*}?", people._OPPOSITE),
    ("work", "What does a {key*} make or bring?", people._WORK),
    ("tools", "Which thing goes with {key*}?", people._TOOL),
)
_CONTINENT = {c: continent for continent, all_ in places._BY_CONTINENT.items() for c in all_}
_OF_CITY = {city: _CONTINENT[country] for city, country in places._COUNTRY.items()}
_CLASSES: tuple[tuple[str, str, Mapping[str, Sequence[str]]], ...] = (
    ("continents", "Which country is in {kind*}?", places._BY_CONTINENT),
    ("animals", "Which of these is {kind*}?", nature.CLASSES),
    ("colours", "Which of these is {kind*}?", people._COLOURS),
)

Reader = Callable[[str, Sequence[str]], Truth | None]


def read(text: str) -> Truth | None:
    """Return the one right option; None if there are several, or a fact is not known.

    Where one fact is asked for and not offered, the truth is a spoilt one.
    """
    found = _TASK.fullmatch(" ".join(text.split()))
    if not found:
        return None
    options = list(dict.fromkeys(found["options"].split(", ")))
    if len(options) < 2:
        return None
    answers = (reader(found["question"], options) for reader in _READERS)
    return next((truth for truth in answers if truth), None)


def _lookup(question: str, options: Sequence[str]) -> Truth | None:
    for family, template, table in (
        *_LOOKUPS,
        ("city-continent", "On which continent is the city {key*}?", _OF_CITY),
    ):
        found = form(template).fullmatch(question)
        if found and found["key"] in table:
            right = table[found["key"]]
            return Truth(family, right, right not in options)
    return None


def _member(question: str, options: Sequence[str]) -> Truth | None:
    for family, template, classes in _CLASSES:
        found = form(template).fullmatch(question)
        if found and found["kind"] in classes:
            return _one(family, options, classes, classes[found["kind"]])
    return None


def _outsider(question: str, options: Sequence[str]) -> Truth | None:
    found = form("Which of these is not {kind*}?").fullmatch(question)
    if not found or found["kind"] not in nature.CLASSES:
        return None
    inside = nature.CLASSES[found["kind"]]
    others = [one for one in _all(nature.CLASSES) if one not in inside]
    return _one("outsiders", options, nature.CLASSES, others)


def _kin(question: str, options: Sequence[str]) -> Truth | None:
    found = form("Which animal is of the same kind as the {shown}?").fullmatch(question)
    kinds = [m for m in nature.CLASSES.values() if found and found["shown"] in m]
    if not found or not kinds or found["shown"] in options:
        return None
    return _one("kin", options, nature.CLASSES, kinds[0])


def _planet(question: str, options: Sequence[str]) -> Truth | None:
    found = re.fullmatch(r"Which planet is (nearest to|farthest from) the Sun\?", question)
    if not found or not set(options) <= set(nature._PLANETS):
        return None
    end = min if found[1].startswith("nearest") else max
    return Truth("planets", end(options, key=nature._PLANETS.index))


_READERS: tuple[Reader, ...] = (_lookup, _member, _outsider, _kin, _planet)


def _one(
    family: str,
    options: Sequence[str],
    classes: Mapping[str, Sequence[str]],
    right: Sequence[str],
) -> Truth | None:
    """Return the one option that is right; None if one of them is in no class at all."""
    chosen = [option for option in options if option in right]
    if len(chosen) != 1 or not set(options) <= set(_all(classes)):
        return None
    return Truth(family, chosen[0])


def _all(classes: Mapping[str, Sequence[str]]) -> list[str]:
    return [member for members in classes.values() for member in members]
