"""Whether a router earns its keep: controls below it, what is told the answer's domain above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfmoe.reporting.comparison.model import ComparedSystem, OrderedPair
from selfmoe.reporting.model import Paired
from selfmoe.reporting.numbers import change, p_clause


def order(
    systems: Sequence[ComparedSystem], paired: Paired | None, alpha: float
) -> list[OrderedPair]:
    """Return what a learned router must show, each with how it came out.

    Systems that decide without looking (``control``) should lie below the reference, and those
    that are given the label of the domain (``labelled``) above it.

    Args:
        systems: What the comparison knows of them.
        paired: Differences to the reference; see ``selfmoe.reporting.paired.differences``.
        alpha: Largest p that counts, 0..1.

    Returns:
        One entry a pair that both were asked.
    """
    if paired is None:
        return []
    found = []
    for name, sign in _pairs(systems, paired.reference):
        measured = paired.systems.get(name)
        if measured is None or measured.score is None:
            continue
        below, above = (name, paired.reference) if sign < 0 else (paired.reference, name)
        difference, p = sign * measured.score.difference + 0.0, measured.score.p
        holds = (difference > 0) if p is not None and p < alpha else None
        found.append(OrderedPair(below=below, above=above, difference=difference, p=p, holds=holds))
    return found


def _pairs(systems: Sequence[ComparedSystem], reference: str) -> Iterator[tuple[str, int]]:
    """Yield what should differ from the reference, and in which direction."""
    others = [system for system in systems if system.name != reference]
    yield from ((system.name, -1) for system in others if system.control)
    yield from ((system.name, 1) for system in others if system.labelled)


def sentence(pairs: Sequence[OrderedPair]) -> str:
    """Return whether the order holds, with the numbers it was decided by."""
    return " ".join(_said(pair) for pair in pairs)


def _said(pair: OrderedPair) -> str:
    verdict = {True: "yes", False: "no", None: "not shown"}[pair.holds]
    sure = f"{change(pair.difference)} points, {p_clause(pair.p)}"
    return f"{pair.below} < {pair.above}: {verdict} ({sure})."
