"""Tables of what was chosen on dev, from the committed results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from _generate.markdown import code, table
from _generate.seedling import ROOT, read
from selfmoe.reporting.numbers import margin, percent, points

Json = Mapping[str, Any]
NAMES = {"home": "experts at home", "away": "experts away"}


def experts() -> str:
    """Return what experts and the instance merge score on dev with every budget looked at."""
    return variants("tuning-experts")


def variants(name: str) -> str:
    """Return the variants of a file of ``benchmarks/tune.py``, and differences to the first.

    Args:
        name: The file in ``results/``, without its ending.
    """
    rows = json.loads((ROOT / "results" / f"{name}.json").read_text("utf-8"))["variants"]
    systems = list(rows[0]["systems"])
    head = ["variant"]
    for system in systems:
        head += [NAMES.get(system, code(system)), "less the first"]
    return table(head, [[_options(row["specialise"]), *_cells(row, systems)] for row in rows])


def weight() -> str:
    """Return what the router scores on dev with either weight of the chosen expert."""
    results = read("tuning-weight")
    assert results.paired is not None
    rows = []
    for system in results.systems:
        if system.kind == "router":
            found = results.paired.systems.get(system.name)
            more = found.score.to_json() if found and found.score else None
            average = f"{percent(system.average)}{margin(system.average_low, system.average_high)}"
            rows.append([code(system.name), average, _told(more)])
    return table(["weight", "average", f"less {code(results.paired.reference)}"], rows)


def _options(section: Json) -> str:
    options = ", ".join(f"{key} {value}" for key, value in section["options"].items())
    return f"{section['trainer']}, {options}" if "trainer" in section else options


def _cells(row: Json, systems: list[str]) -> Iterator[str]:
    for name in systems:
        system = row["systems"][name]
        yield percent(system["average"])
        yield _told(system["more"])


def _told(more: Json | None) -> str:
    if more is None or more.get("low") is None:
        return "–"
    between = f"[{points(more['low'], 0.0)}, {points(more['high'], 0.0)}]"
    return f"{points(more['difference'], 0.0)} {between}"
