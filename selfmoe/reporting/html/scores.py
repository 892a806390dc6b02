"""The scores of a run, ready to be shown: tables, intervals, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from selfmoe.reporting.numbers import percent, points, position
from selfmoe.reporting.terminal.tables import (
    benchmarks_of_role,
    best_system,
    by_kind,
    gain,
    legend,
    marked,
)

Json = Mapping[str, Any]


class Cell(NamedTuple):
    """One score: percent, half its interval, lenient percent; ``why`` where there is none."""

    value: str = "–"
    half: str = ""
    lenient: str = ""
    why: str = ""


class Row(NamedTuple):
    """One system in a table; ``first`` begins a new kind."""

    name: str
    kind: str
    cells: list[Cell]
    average: Cell
    gain: str
    best: bool
    first: bool


class Table(NamedTuple):
    """Systems by benchmarks; only that of the targets has averages."""

    title: str
    benchmarks: list[str]
    rows: list[Row]
    target: bool


class Mark(NamedTuple):
    """One score on a line from 0 to 100: positions as CSS lengths, and the text beside it."""

    name: str
    kind: str
    at: str
    low: str
    high: str
    lenient: str
    text: str
    title: str
    best: bool


class Panel(NamedTuple):
    """One benchmark, or the average, as marks one below the other; ``base`` is a faint line."""

    title: str
    note: str
    base: str
    marks: list[Mark]


def tables(results: Json) -> list[Table]:
    """Return the table of targets and that of other benchmarks, as far as there are any."""
    found = []
    for role, title in (("target", "Scores in %"), ("non-target", "Other benchmarks, in %")):
        benchmarks = benchmarks_of_role(results, role)
        if benchmarks:
            found.append(Table(title, benchmarks, _rows(results, benchmarks), role == "target"))
    return found


def _rows(results: Json, benchmarks: Sequence[str]) -> list[Row]:
    systems = results["systems"]
    base, best = systems[0], best_system(systems)
    return [
        Row(
            name=marked(system),
            kind=system["kind"],
            cells=[_cell(system["scores"].get(name)) for name in benchmarks],
            average=_average(system),
            gain="" if system is base else points(gain(system, base), 0.0),
            best=system["name"] == best,
            first=first,
        )
        for system, first in by_kind(systems)
    ]


def _cell(score: Json | None) -> Cell:
    if score is None:
        return Cell()
    if score["value"] is None:
        return Cell(value="not run", why=str(score["not_run"]))
    half = percent((score["high"] - score["low"]) / 2, 0)
    return Cell(percent(score["value"]), half, _lenient(score["lenient"]))


def _average(system: Json) -> Cell:
    low, high = system.get("average_low"), system.get("average_high")
    half = percent((high - low) / 2, 0) if low is not None and high is not None else ""
    covered, targets = system["covers"]
    why = f"over {covered} of {targets}" if covered < targets else ""
    lenient = _lenient(system.get("average_lenient"))
    return Cell(percent(system["average"]), half, lenient, why)


def _lenient(value: float | None) -> str:
    return "" if value is None else percent(value, 0)


def averages(results: Json) -> Panel | None:
    """Return the averages over all targets, each with its interval."""
    systems = results["systems"]
    marks = [
        _mark(system, as_score(system), best_system(systems))
        for system in systems
        if system["average"] is not None
    ]
    return (
        Panel("Average over the targets", "", _line(as_score(systems[0])), marks) if marks else None
    )


def as_score(system: Json) -> Json:
    """Return a system's average in the shape of a score; without an interval it has no width."""
    value, low, high = (system[key] for key in ("average", "average_low", "average_high"))
    return {
        "value": value,
        "low": value if low is None else low,
        "high": value if high is None else high,
        "lenient": system.get("average_lenient"),
    }


def panels(results: Json) -> list[Panel]:
    """Return one panel a benchmark."""
    systems, found = results["systems"], []
    for role in ("target", "non-target"):
        for name in benchmarks_of_role(results, role):
            scores = [(s, s["scores"][name]) for s in systems if name in s["scores"]]
            marks = [_mark(s, score, None) for s, score in scores if score["value"] is not None]
            if marks:
                base = systems[0]["scores"].get(name, {"value": None})
                note = f"n = {scores[0][1]['n']}"
                found.append(Panel(name, note, _line(base), marks))
    return found


def _line(score: Json) -> str:
    return "" if score["value"] is None else position(score["value"])


def _mark(system: Json, score: Json, best: str | None) -> Mark:
    value, lenient = score["value"], score["lenient"]
    between = f"[{percent(score['low'])}, {percent(score['high'])}]"
    title = f"{system['name']}: {percent(value)} % {between}"
    if lenient is not None:
        title += f", in any form {percent(lenient)} %"
    return Mark(
        name=system["name"],
        kind=system["kind"],
        at=position(value),
        low=position(score["low"]),
        high=position(score["high"]),
        lenient="" if lenient is None else position(lenient),
        text=percent(value),
        title=title,
        best=system["name"] == best,
    )


def notes(results: Json) -> list[str]:
    """Return what a reader must know about the numbers, as the terminal says it."""
    if not any(system["scores"] for system in results["systems"]):
        return []
    return legend(results).strip().splitlines()


class Protocol(NamedTuple):
    """How some systems were asked one benchmark."""

    benchmark: str
    role: str
    systems: str
    n: str
    template: str
    asked: str
    used: str
    overflowed: str
    sandbox: str
    note: str


def protocols(results: Json) -> list[Protocol]:
    """Return how the benchmarks were asked; systems that were asked alike share a line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for system in results["systems"]:
        for name, score in system["scores"].items():
            alike.setdefault(_asked(name, score), []).append(system["name"])
    order = sorted(alike.items(), key=lambda item: item[0][0])
    everyone = [system["name"] for system in results["systems"]]
    return [
        Protocol(facts[0], facts[1], _names(names, everyone), *facts[2:]) for facts, names in order
    ]


def _names(names: Sequence[str], everyone: Sequence[str]) -> str:
    others = [name for name in everyone if name not in names]
    if len(others) < len(names) > 2:
        return f"all but {', '.join(others)}" if others else "all systems"
    return ", ".join(names)


def _asked(name: str, score: Json) -> tuple[str, ...]:
    extra = score["extra"]
    used = extra.get("shots_used")
    return (
        name,
        score.get("role", "target"),
        str(score["n"]),
        str(extra.get("template", "–")),
        str(extra.get("shots_asked", "–")),
        "–" if used is None else f"{used:g}",
        str(extra.get("overflowed", "–")),
        str(extra.get("sandbox", "–")),
        f"not run: {score['not_run']}" if score["not_run"] else "",
    )
