"""What stands at the top of every page: figures, and what could not be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from selfmoe.reporting.html.numbers import percent


class Tile(NamedTuple):
    """One figure at the top of a page."""

    label: str
    value: str
    note: str


def spread(system: Mapping[str, Any]) -> str:
    """Return the interval of a system's average in words, if it has one."""
    low, high = system.get("average_low"), system.get("average_high")
    return "" if low is None else f"interval {percent(low)} to {percent(high)}"


def missing(cells: Mapping[str, Mapping[str, str]], seed: str = "seed") -> list[tuple[str, str]]:
    """Return the cells that are not there, and why.

    Args:
        cells: Seed -> cell -> why it is not there.
        seed: What the seeds are called.
    """
    several = len(cells) > 1
    return [
        (f"{name}, {seed} {number}" if several else name, why)
        for number, group in cells.items()
        for name, why in group.items()
    ]
