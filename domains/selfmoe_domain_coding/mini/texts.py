"""Functions of a string: change it, measure it, take its words apart."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_coding.mini.tasks import Phrase, Task, pick, problem

_TEXT: tuple[Phrase, ...] = (
    ("reverse it", "{}[::-1]"),
    ("put it in capitals", "{}.upper()"),
    ("drop every '{c}'", "{}.replace('{c}', '')"),
    ("replace each '{c}' by '{d}'", "{}.replace('{c}', '{d}')"),
    ("write it twice", "({} * 2)"),
    ("drop the first letter", "{}[1:]"),
    ("drop the last letter", "{}[:-1]"),
    ("add '{c}' at the end", "({} + '{c}')"),
)
_END: tuple[Phrase, ...] = (
    ("return it", "{}"),
    ("return its length", "len({})"),
    ("return its first letter", "{}[0]"),
    ("return its last letter", "{}[-1]"),
)
_WORDS: tuple[Phrase, ...] = (
    ("count the words", "len(x.split())"),
    ("return the first word", "x.split()[0]"),
    ("return the last word", "x.split()[-1]"),
    ("sort the words", "sorted(x.split())"),
    ("return the longest word", "max(x.split(), key=len)"),
    ("join the words by '{c}'", "'{c}'.join(x.split())"),
)


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcde") for _ in range(rng.randint(3, 5)))


def _sentence(rng: random.Random) -> str:
    return " ".join(_word(rng)[: rng.randint(1, 5)] for _ in range(rng.randint(2, 4)))


def _string(rng: random.Random) -> Problem:
    def make() -> Task:
        phrase, code = pick(rng, (*_TEXT, *_END[1:]))
        return Task("string", (phrase,), code.replace("{}", "x"))

    return problem("string", rng, make, _word)


def _chain(rng: random.Random) -> Problem:
    def make() -> Task:
        phrases, expression = [], "x"
        for phrase, code in (pick(rng, _TEXT), pick(rng, _TEXT), pick(rng, _END)):
            phrases.append(phrase)
            expression = code.replace("{}", expression)
        return Task("string", tuple(phrases), expression)

    return problem("chain", rng, make, _word)


def _words(rng: random.Random) -> Problem:
    def make() -> Task:
        phrase, code = pick(rng, _WORDS)
        return Task("string", (phrase,), code)

    return problem("words", rng, make, _sentence)


FAMILIES = (
    Family("string", _string, "easy"),
    Family("words", _words, "medium"),
    Family("chain", _chain, "hard"),
)
