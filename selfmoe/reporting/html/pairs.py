"""Paired comparisons, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from selfmoe.reporting.numbers import points

Json = Mapping[str, Any]


class Difference(NamedTuple):
    """A difference in points, its interval and its p, as text; empty where there is none."""

    value: str = ""
    interval: str = ""
    p: str = ""


class Pair(NamedTuple):
    """One system against the reference."""

    name: str
    strict: Difference
    lenient: Difference


class Pairs(NamedTuple):
    """The systems that could be compared with the reference, and how sure that is."""

    reference: str
    about: str
    rows: list[Pair]
    lenient: bool


def pairs(results: Json) -> Pairs | None:
    """Return all comparisons of a run, or ``None`` if it has none."""
    found = results.get("paired") or {"systems": {}}
    rows = [
        Pair(name, _difference(values["score"]), _difference(values["lenient"]))
        for name, values in found["systems"].items()
        if values["score"] is not None
    ]
    if not rows:
        return None
    several = results["interval"] != "items"
    law = f"Student's t over the {results['interval']}" if several else "normal, over the items"
    about = f"{100 * results['confidence']:.0f} % intervals and two-sided p: {law}."
    return Pairs(found["reference"], about, rows, any(row.lenient.value for row in rows))


def _difference(estimate: Json | None) -> Difference:
    if estimate is None:
        return Difference()
    value, low, high = (points(estimate[key], 0.0) for key in ("difference", "low", "high"))
    if (p := estimate["p"]) is None:
        return Difference(value)
    return Difference(value, f"[{low}, {high}]", "< 0.001" if p < 0.001 else f"{p:.3f}")
