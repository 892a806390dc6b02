"""Paired comparisons, ready to be shown."""

from __future__ import annotations

from typing import NamedTuple

from selfmoe.reporting.model import Estimate, Results
from selfmoe.reporting.numbers import p_value, percent, points


class Difference(NamedTuple):
    """A difference in points, its interval and its p, as text; empty where there is none."""

    value: str = ""
    interval: str = ""
    p: str = ""


class SystemPair(NamedTuple):
    """One system against the reference."""

    name: str
    strict: Difference
    lenient: Difference


class SystemPairs(NamedTuple):
    """The systems that could be compared with the reference, and how sure that is."""

    reference: str
    about: str
    rows: list[SystemPair]
    lenient: bool


def pairs(results: Results) -> SystemPairs | None:
    """Return all comparisons of a run, or ``None`` if it has none."""
    if results.paired is None:
        return None
    rows = [
        SystemPair(name, _difference(measured.score), _difference(measured.lenient))
        for name, measured in results.paired.systems.items()
        if measured.score is not None
    ]
    if not rows:
        return None
    several = results.interval != "items"
    law = f"Student's t over the {results.interval}" if several else "normal, over the items"
    about = f"{percent(results.confidence, 0)} % intervals and two-sided p: {law}."
    return SystemPairs(
        results.paired.reference, about, rows, any(row.lenient.value for row in rows)
    )


def _difference(estimate: Estimate | None) -> Difference:
    if estimate is None:
        return Difference()
    value = points(estimate.difference, 0.0)
    if estimate.p is None:
        return Difference(value)
    between = f"[{points(estimate.low, 0.0)}, {points(estimate.high, 0.0)}]"
    return Difference(value, between, p_value(estimate.p))
