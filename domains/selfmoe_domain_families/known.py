"""The kinds of problems there are to choose from, and those that keep to a cue."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_coding import mini as coding
from selfmoe_domain_families import crossed
from selfmoe_domain_knowledge import mini as knowledge
from selfmoe_domain_math import mini as math
from selfmoe_domain_reasoning import mini as reasoning

TRACKS: Mapping[str, tuple[Family, ...]] = {
    "coding": coding.FAMILIES,
    "crossed": crossed.FAMILIES,
    "knowledge": knowledge.FAMILIES,
    "math": math.FAMILIES,
    "reasoning": reasoning.FAMILIES,
}
"""Families by track: those of the mini domains, and those that need two of them."""

_TRIES = 1000


def known() -> Iterator[str]:
    """Yield what can be named: every track, then each of its families as ``track/family``."""
    for track, families in TRACKS.items():
        yield track
        yield from (f"{track}/{family.name}" for family in families)


@cache  # families are told apart by what they are made by
def chosen(names: tuple[str, ...], cue: str = "") -> tuple[Family, ...]:
    """Return the families that are named, in the order of the names.

    Args:
        names: Of tracks or of families, see ``known``.
        cue: Regular expression that every problem's text is to match; empty: any text does.
    """
    families = [family for name in names for family in _named(name)]
    return tuple(_keeping(family, cue) for family in families) if cue else tuple(families)


def _named(name: str) -> Iterable[Family]:
    track, _, family = name.partition("/")
    return [one for one in TRACKS[track] if family in ("", one.name)]


def _keeping(family: Family, cue: str) -> Family:
    """Return a family whose problems all match a regular expression."""
    pattern = re.compile(cue)

    def make(rng: random.Random) -> Problem:
        for _ in range(_TRIES):
            problem = family.make(rng)
            if pattern.search(problem.input):
                return problem
        raise ValueError(f"family {family.name!r} yields no problem that matches {cue!r}")

    return replace(family, make=make)
