"""Tables of what was chosen on dev, from the committed results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from _generate.markdown import code, table
from _generate.seedling import ROOT, averages, read
from selfmoe.reporting.numbers import percent, points
from selfmoe.reporting.terminal.progress import duration

Json = Mapping[str, Any]
TRIED = {
    "softmax": "one epoch, the paper's weight",
    "one": "one epoch, `weight: one`",
    "lr3": "one epoch, three times the rate",
    "k2": "one epoch, two experts a token",
    "e3": "three epochs",
}
"""What ``benchmarks/tuning-topk.yaml`` calls the variants of the router -> what they are."""
NAMES = {"home": "experts at home", "away": "experts away"}


def experts() -> str:
    """Return what experts and the instance merge score on dev with every budget looked at."""
    return variants("tuning-experts")


def variants(name: str, *, timed: bool = False) -> str:
    """Return the variants of a file of ``benchmarks/tune.py``, and differences to the first.

    Args:
        name: The file in ``results/``, without its ending.
        timed: Whether to add how long one expert took.
    """
    rows = json.loads((ROOT / "results" / f"{name}.json").read_text("utf-8"))["variants"]
    systems = list(rows[0]["systems"])
    head = ["variant"]
    for system in systems:
        head += [NAMES.get(system, code(system)), "less the first"]
    cells = [[_options(row["specialise"]), *_cells(row, systems)] for row in rows]
    if timed:
        head.append("an expert took")
        cells = [[*line, duration(row["seconds"])] for line, row in zip(cells, rows, strict=True)]
    return table(head, cells)


def router() -> str:
    """Return what the router of MiXSE scores on dev as it learns and weighs, by root seed."""
    return _by_seed("tuning-topk", TRIED)


def weight() -> str:
    """Return what it scores on dev with either weight of the chosen expert, by root seed."""
    names = {"mixse": "the paper's weight", "mixse-one": "`weight: one`"}
    paired = read("tuning-weight").paired
    assert paired is not None
    found = paired.systems["mixse-one"].score
    assert found is not None
    less = f"{names['mixse-one']} less the paper's: {_told(found.to_json())}, p {found.p:.2f}.\n"
    return f"{_by_seed('tuning-weight', names)}\n{less}"


def _by_seed(file: str, names: Mapping[str, str]) -> str:
    results = read(file)
    rows = [
        [names[one.name], *(percent(value) for value in averages(one)), percent(one.average)]
        for one in results.systems
        if one.kind == "router"
    ]
    return table(["router", *(f"root seed {seed}" for seed in results.seeds), "mean"], rows)


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
