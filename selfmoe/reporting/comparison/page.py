"""A comparison as one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.tables import comparison_notes, cost_columns, cost_row
from selfmoe.reporting.html import pairs, routing, scores
from selfmoe.reporting.html.head import Tile, headline, missing, sections
from selfmoe.reporting.html.templating import fill
from selfmoe.reporting.numbers import plural
from selfmoe.reporting.terminal.tables import best_system, by_kind, marked
from selfmoe.reporting.visible import short

_SECTIONS = {
    "scores": "Results",
    "cost": "Differences and cost",
    "benchmarks": "By benchmark",
    "routing": "Routing",
    "versions": "Versions",
}


class SystemCosts(NamedTuple):
    """What each system gains and costs; of a row: name, texts, best or not, first of its kind."""

    columns: tuple[str, ...]
    rows: list[tuple[str, list[str], bool, bool]]


def comparison_page(results: ComparisonResults) -> str:
    """Return the page.

    Args:
        results: What ``comparison/results.json`` holds.
    """
    shown = {
        "tables": scores.tables(results),
        "averages": scores.averages(results),
        "costs": _costs(results),
        "pairs": pairs.pairs(results),
        "panels": scores.panels(results),
        "routed": _routed(results),
    }
    there = {"benchmarks": shown["panels"], "routing": shown["routed"]}
    return fill(
        "comparison.html",
        what="comparison",
        title=f"Routers and merges on {short(results.base.name, 80)}",
        lead=_lead(results),
        tiles=list(_tiles(results)),
        sections=sections(_SECTIONS, there),
        missing=missing(results.missing, results.seed),
        notes=comparison_notes(results),
        versions=list(results.versions.items()),
        keys=results.cells,
        footer="The numbers are in results.json beside this page.",
        **shown,
    )


def _lead(results: ComparisonResults) -> str:
    base = f"{short(results.base.name)} ({results.base.hash})"
    return (
        f"Base {base}, track {results.track}, preset {results.preset}; the experts of root seed "
        f"{results.root_seed}, composed with {plural(len(results.seeds), results.seed)}."
    )


def _tiles(results: ComparisonResults) -> Iterator[Tile]:
    yield from headline(results)
    composed = sum(system.composer is not None for system in results.systems)
    yield Tile("Compositions", str(composed), "routers and merges")


def _costs(results: ComparisonResults) -> SystemCosts:
    systems, best = results.systems, best_system(results.systems)
    rows = [
        (marked(system), cost_row(results, system), system.name == best, first)
        for system, first in by_kind(systems)
    ]
    return SystemCosts(cost_columns(results), rows)


def _routed(results: ComparisonResults) -> list[routing.Map]:
    """Return the share of each expert by benchmark, for every system that routes."""
    answers = results.routing_response
    systems = {**results.routing, **answers}
    return [
        routing.map_of(
            f"{name}: {routing.PART_NAMES['response' if name in answers else 'all']}", rows
        )
        for name, rows in systems.items()
        if rows
    ]
