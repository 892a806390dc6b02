"""Putting the page together: what the templates are given, and the file they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selfmoe.config.yaml_text import settings_text
from selfmoe.reporting.html import pairs, routing, scores, traces, work
from selfmoe.reporting.html.head import Tile, headline, missing, sections
from selfmoe.reporting.html.templating import fill
from selfmoe.reporting.model import RunResults
from selfmoe.reporting.numbers import count, plural
from selfmoe.reporting.terminal.progress import duration
from selfmoe.reporting.visible import short
from selfmoe.store.cells import Json

_SECTIONS = {
    "scores": "Results",
    "benchmarks": "By benchmark",
    "routing": "Routing",
    "traces": "Token by token",
    "data": "Data",
    "training": "Training and cost",
    "protocol": "Protocol",
    "settings": "Settings",
}


def run_page(results: RunResults, details: Json, state: str) -> str:
    """Return the page.

    Everything that comes from the run is escaped, and what cannot be seen is made visible.

    Args:
        results: What ``results.json`` holds.
        details: See ``collect_details``.
        state: What the page was made from; written into its head.
    """
    content = _content(results, details)
    return fill("index.html", what="report", state=state, **content)


def _content(results: RunResults, details: Json) -> dict[str, Any]:
    shown = {
        "tables": scores.tables(results),
        "notes": scores.score_notes(results),
        "averages": scores.averages(results),
        "pairs": pairs.pairs(results),
        "panels": scores.panels(results),
        "protocols": scores.protocols(results),
        "routed": routing.routed_systems(details),
        "traced": traces.traced_systems(details),
        "funnels": work.funnels(results, details),
        "curves": work.curves(details),
        "costs": work.costs(details),
        "times": work.times(results),
    }
    return {
        **shown,
        "title": f"Self-specialised experts on {short(results.base.name, 80)}",
        "lead": _lead(results, details),
        "tiles": list(_tiles(results, details)),
        "sections": _sections(shown, details),
        "missing": missing(details["missing"]),
        "left_out": list(details["left_out"].items()),
        "asked": count(details["config"]["brainstorm"]["n"]),
        "settings": settings_text(details["config"]),
        "versions": list(results.versions.items()),
        "keys": results.cells,
        "footer": _footer(results, details),
    }


def _sections(shown: Mapping[str, Any], details: Json) -> list[tuple[str, str]]:
    """Return the sections that there are, for the navigation."""
    there = {
        "benchmarks": shown["panels"],
        "routing": shown["routed"],
        "traces": shown["traced"],
        "data": shown["funnels"],
        "training": shown["curves"] or shown["costs"],
        "protocol": shown["protocols"] or details["left_out"],
    }
    return sections(_SECTIONS, there)


def _lead(results: RunResults, details: Json) -> str:
    domains = [short(name) for name in details["config"]["domains"]]
    names = ", ".join(domains[:-1]) + (" and " if domains[1:] else "") + domains[-1]
    seeds = ", ".join(map(str, results.seeds))
    limit = details["config"]["evaluate"]["limit"]
    items = f"up to {plural(limit, 'item')} a benchmark" if limit else "all items of each benchmark"
    base = f"{short(results.base.name)} ({results.base.hash})"
    return (
        f"Base {base}, specialised in {names}. "
        f"Track {results.track}, preset {results.preset}, root seed"
        f"{'s' if len(results.seeds) > 1 else ''} {seeds}; {items}."
    )


def _tiles(results: RunResults, details: Json) -> Iterator[Tile]:
    yield from headline(results)
    data = results.data
    if kept := sum(counts.kept for domains in data.values() for counts in domains.values()):
        experts = len(details["config"]["domains"]) * len(data)
        yield Tile("Self-made examples", count(kept), f"for {plural(experts, 'expert')}")
    seconds = sum(results.seconds.values())
    yield Tile("Time", duration(seconds), "for all cells of this run")


def _footer(results: RunResults, details: Json) -> str:
    parts = [f"selfmoe {results.versions.get('selfmoe', '')}."]
    if details["finished"]:
        parts.append(f"Results of {details['finished'].replace('T', ' ')[:16]} UTC.")
    parts.append("The numbers are in results.json beside this page.")
    return " ".join(parts)
