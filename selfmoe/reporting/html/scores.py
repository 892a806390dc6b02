"""The scores of a run, ready to be shown: tables, intervals, notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from selfmoe.reporting.model import BenchmarkScore, Results, Spread, SystemScores
from selfmoe.reporting.numbers import percent, points, position
from selfmoe.reporting.terminal.tables import (
    benchmarks_of_role,
    best_system,
    by_kind,
    gain,
    legend,
    marked,
)


class ScoreCell(NamedTuple):
    """One score: percent, half its interval, lenient percent; ``why`` where there is none."""

    value: str = "–"
    half: str = ""
    lenient: str = ""
    why: str = ""


class SystemRow(NamedTuple):
    """One system in a table; ``first`` begins a new kind."""

    name: str
    kind: str
    cells: list[ScoreCell]
    average: ScoreCell
    gain: str
    best: bool
    first: bool


class ScoresTable(NamedTuple):
    """Systems by benchmarks; only that of the targets has averages."""

    title: str
    benchmarks: list[str]
    rows: list[SystemRow]
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


def tables(results: Results) -> list[ScoresTable]:
    """Return the table of targets and that of other benchmarks, as far as there are any."""
    found = []
    for role, title in (("target", "Scores in %"), ("non-target", "Other benchmarks, in %")):
        benchmarks = benchmarks_of_role(results, role)
        if benchmarks:
            found.append(
                ScoresTable(title, benchmarks, _rows(results, benchmarks), role == "target")
            )
    return found


def _rows(results: Results, benchmarks: Sequence[str]) -> list[SystemRow]:
    systems = results.systems
    base, best = systems[0], best_system(systems)
    return [
        SystemRow(
            name=marked(system),
            kind=system.kind,
            cells=[_cell(system.scores.get(name)) for name in benchmarks],
            average=_average(system),
            gain="" if system is base else points(gain(system, base), 0.0),
            best=system.name == best,
            first=first,
        )
        for system, first in by_kind(systems)
    ]


def _cell(score: BenchmarkScore | None) -> ScoreCell:
    if score is None:
        return ScoreCell()
    if (spread := score.spread) is None:
        return ScoreCell(value="not run", why=str(score.not_run))
    return ScoreCell(percent(spread.value), percent(spread.half, 0), _lenient(spread.lenient))


def _average(system: SystemScores) -> ScoreCell:
    low, high = system.average_low, system.average_high
    half = percent((high - low) / 2, 0) if low is not None and high is not None else ""
    covered, targets = system.covers
    why = f"over {covered} of {targets}" if covered < targets else ""
    lenient = _lenient(system.average_lenient)
    return ScoreCell(percent(system.average), half, lenient, why)


def _lenient(value: float | None) -> str:
    return "" if value is None else percent(value, 0)


def averages(results: Results) -> Panel | None:
    """Return the averages over all targets, each with its interval."""
    systems, best = results.systems, best_system(results.systems)
    spreads = [(system, system.spread) for system in systems]
    marks = [_mark(system, spread, best) for system, spread in spreads if spread is not None]
    return Panel("Average over the targets", "", _line(systems[0].spread), marks) if marks else None


def panels(results: Results) -> list[Panel]:
    """Return one panel a benchmark."""
    roles = ("target", "non-target")
    names = [name for role in roles for name in benchmarks_of_role(results, role)]
    return [found for name in names if (found := _panel(results.systems, name)) is not None]


def _panel(systems: Sequence[SystemScores], benchmark: str) -> Panel | None:
    scores = [(s, s.scores[benchmark]) for s in systems if benchmark in s.scores]
    spreads = [(system, score.spread) for system, score in scores]
    marks = [_mark(system, spread, None) for system, spread in spreads if spread is not None]
    if not marks:
        return None
    base = systems[0].scores.get(benchmark)
    return Panel(benchmark, f"n = {scores[0][1].n}", _line(base.spread if base else None), marks)


def _line(spread: Spread | None) -> str:
    return "" if spread is None else position(spread.value)


def _mark(system: SystemScores, spread: Spread, best: str | None) -> Mark:
    value, low, high, lenient = spread
    title = f"{system.name}: {percent(value)} % [{percent(low)}, {percent(high)}]"
    if lenient is not None:
        title += f", in any form {percent(lenient)} %"
    return Mark(
        name=system.name,
        kind=system.kind,
        at=position(value),
        low=position(low),
        high=position(high),
        lenient="" if lenient is None else position(lenient),
        text=percent(value),
        title=title,
        best=system.name == best,
    )


def score_notes(results: Results) -> list[str]:
    """Return what a reader must know about the numbers, as the terminal says it."""
    if not any(system.scores for system in results.systems):
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


def protocols(results: Results) -> list[Protocol]:
    """Return how the benchmarks were asked; systems that were asked alike share a line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for system in results.systems:
        for name, score in system.scores.items():
            alike.setdefault(_asked(name, score), []).append(system.name)
    order = sorted(alike.items(), key=lambda item: item[0][0])
    everyone = [system.name for system in results.systems]
    return [
        Protocol(facts[0], facts[1], _names(names, everyone), *facts[2:]) for facts, names in order
    ]


def _names(names: Sequence[str], everyone: Sequence[str]) -> str:
    others = [name for name in everyone if name not in names]
    if len(others) < len(names) > 2:
        return f"all but {', '.join(others)}" if others else "all systems"
    return ", ".join(names)


def _asked(name: str, score: BenchmarkScore) -> tuple[str, ...]:
    extra = score.extra
    used = extra.get("shots_used")
    return (
        name,
        score.role,
        str(score.n),
        str(extra.get("template", "–")),
        str(extra.get("shots_asked", "–")),
        "–" if used is None else f"{used:g}",
        str(extra.get("overflowed", "–")),
        str(extra.get("sandbox", "–")),
        f"not run: {score.not_run}" if score.not_run else "",
    )
