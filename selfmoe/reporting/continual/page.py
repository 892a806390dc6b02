"""Experts that came one by one, as one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator

from selfmoe.reporting.continual.model import Arrival, ContinualResults
from selfmoe.reporting.continual.tables import COLUMNS, continual_notes, kept, row_of, since_text
from selfmoe.reporting.html.head import Tile, missing, sections
from selfmoe.reporting.html.routing import Heat, Map
from selfmoe.reporting.html.templating import fill
from selfmoe.reporting.numbers import percent, plural
from selfmoe.reporting.visible import short

_SECTIONS = {"arrivals": "Arrivals", "scores": "Scores", "versions": "Versions"}


def continual_page(results: ContinualResults) -> str:
    """Return the page.

    Args:
        results: What ``continual/results.json`` holds.
    """
    return fill(
        "continual.html",
        what="continual",
        title=f"Experts one by one on {short(results.base.name, 80)}",
        lead=_lead(results),
        tiles=list(_tiles(results)),
        sections=sections(_SECTIONS, {}),
        missing=missing(results.missing, "root seed and state"),
        columns=COLUMNS,
        tables=[(system, list(_rows(results, system))) for system in results.systems],
        maps=[_map(results, system) for system in results.systems],
        notes=continual_notes(results),
        versions=list(results.versions.items()),
        keys=results.cells,
        footer="The numbers are in results.json beside this page.",
    )


def _lead(results: ContinualResults) -> str:
    return (
        f"Base {short(results.base.name)} ({results.base.hash}), track {results.track}, preset "
        f"{results.preset}; {plural(len(results.seeds), 'root seed')}. First there: "
        f"{', '.join(results.start)}; the others came one by one ({results.join})."
    )


def _tiles(results: ContinualResults) -> Iterator[Tile]:
    last = results.arrivals[-1]
    yield Tile("Experts", str(last.experts), f"{len(results.arrivals) - 1} came")
    for system in results.systems[:3]:
        text = since_text(kept(last, system))
        yield Tile(f"{short(system)}, earlier domains", text, "points since they came")


def _rows(results: ContinualResults, system: str) -> Iterator[tuple[str, list[str]]]:
    for arrival in results.arrivals:
        yield arrival.expert or "at first", row_of(arrival, system)


def _map(results: ContinualResults, system: str) -> Map:
    """Return the scores of a system by state and benchmark."""
    benchmarks = list(results.arrivals[-1].scores.get(system, {}))
    rows = [
        (arrival.expert or "at first", [_heat(arrival, system, b) for b in benchmarks], "")
        for arrival in results.arrivals
    ]
    return Map(f"{short(system)}: score after each arrival, in %", "came", benchmarks, rows)


def _heat(arrival: Arrival, system: str, benchmark: str) -> Heat:
    value = arrival.scores.get(system, {}).get(benchmark)
    after = f"after {arrival.expert} came" if arrival.expert else "at first"
    title = f"{benchmark}, {after}: {percent(value)} %" if value is not None else ""
    new = benchmark in arrival.home
    return Heat(f"{value or 0.0:.3f}", "" if value is None else percent(value, 0), title, new)
