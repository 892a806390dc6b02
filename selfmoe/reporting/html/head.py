"""What stands at the top of every page: figures, sections, and what could not be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from selfmoe.reporting.model import Results, SystemScores
from selfmoe.reporting.numbers import percent, points
from selfmoe.reporting.terminal.tables import best_system, gain, marked
from selfmoe.reporting.visible import short


class Tile(NamedTuple):
    """One figure at the top of a page."""

    label: str
    value: str
    note: str


def headline(results: Results) -> Iterator[Tile]:
    """Yield the averages of the base and of the best composition, and what is between them."""
    systems = results.systems
    base, named = systems[0], best_system([s for s in systems if s.kind != "expert"])
    if base.average is not None:
        yield Tile("Base, average", f"{percent(base.average)} %", _interval(base))
    for best in (system for system in systems if system.name == named):
        label = f"Best composition: {short(marked(best))}"
        yield Tile(label, f"{percent(best.average)} %", _interval(best))
        if (value := gain(best, base)) is not None:
            yield Tile("Its gain over the base", points(value, 0.0), "points on average")


def sections(names: Mapping[str, str], shown: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the sections that there are, for the navigation.

    Args:
        names: Of all sections, by anchor.
        shown: What those hold that may be empty, by anchor.
    """
    return [(key, name) for key, name in names.items() if shown.get(key, True)]


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


def _interval(system: SystemScores) -> str:
    low, high = system.average_low, system.average_high
    return "" if low is None else f"interval {percent(low)} to {percent(high)}"
