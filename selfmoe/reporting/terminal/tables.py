"""The results of a run as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from selfmoe.reporting.model import BenchmarkScore, Results, RunResults, SystemScores
from selfmoe.reporting.numbers import change, percent, score_text
from selfmoe.reporting.terminal.narrow import fits_width, print_table
from selfmoe.reporting.terminal.progress import duration

S = TypeVar("S", bound=SystemScores)

_NOT_RUN = "not run: "


def print_results(results: RunResults, console: Console) -> None:
    """Print scores, routing, data yield and times, as wide as the console is."""
    if any(system.scores for system in results.systems):
        print_scores(results, console)
        console.print(legend(results), style="dim", markup=False)
    for found, keys in ((routing_table(results), 2), (yield_table(results), 1)):
        if found is not None:
            console.print()
            print_table(found, console, keys)
    console.print()
    print_table(times_table(results), console, keys=0)


def print_scores(results: Results, console: Console) -> None:
    """Print the scores, those of target benchmarks first, as wide as the console is."""
    for role in ("target", "non-target"):
        if benchmarks_of_role(results, role):
            table = scores_table(results, role)
            if not fits_width(table, console):
                table = scores_table(results, role, narrow=True)
            print_table(table, console)
            console.print()


def benchmarks_of_role(results: Results, role: str) -> list[str]:
    """Return the benchmarks with a role, ``target`` or ``non-target``, in order."""
    scores = [pair for system in results.systems for pair in system.scores.items()]
    return list(dict.fromkeys(name for name, score in scores if score.role == role))


def scores_table(results: Results, role: str = "target", *, narrow: bool = False) -> Table:
    """Return systems by benchmarks: strict score in percent, lenient in brackets.

    Other than target benchmarks have no part in the averages, so their table shows none.

    Args:
        results: What ``results.json`` holds.
        role: ``target`` or ``non-target``.
        narrow: Break the benchmarks' names at ``/``, and show last of what kind a system is.
    """
    target = role == "target"
    title = "Scores in %" if target else "Other benchmarks, in %"
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    names = benchmarks_of_role(results, role)
    columns = [*names, *(("average", "gain") if target else ())]
    kind = len(columns) if narrow else 0
    columns.insert(kind, "kind")
    rows = [_numbers(system, names, results.systems[0], target) for system in results.systems]
    for system, row in zip(results.systems, rows, strict=True):
        row.insert(kind, system.kind)
    for place, name in enumerate(columns):
        heading = escape(name.replace("/", "/\n") if narrow else name)
        long = any(row[place].startswith(_NOT_RUN) for row in rows)
        justify: JustifyMethod = "left" if place == kind else "right"
        style = "dim" if place == kind else None
        table.add_column(heading, justify=justify, style=style, no_wrap=not long)
    add_rows(table, results.systems, rows)
    return table


def add_rows(table: Table, systems: Sequence[SystemScores], rows: Sequence[Sequence[str]]) -> None:
    """Add one row a system, in sections by kind, the best one in bold."""
    best = best_system(systems)
    for (system, first), row in zip(by_kind(systems), rows, strict=True):
        if first:
            table.add_section()
        style = "bold" if system.name == best else ""
        table.add_row(escape(marked(system)), *map(escape, row), style=style)


def by_kind(systems: Sequence[S]) -> Iterator[tuple[S, bool]]:
    """Yield every system, and whether it is of another kind than the one before it."""
    previous = None
    for system in systems:
        yield system, previous not in (None, system.kind)
        previous = system.kind


def marked(system: SystemScores) -> str:
    """Return a system's name, with a star if it is told what others are not."""
    return f"{system.name} *" if system.labelled else system.name


def _numbers(
    system: SystemScores, benchmarks: Sequence[str], base: SystemScores, target: bool
) -> list[str]:
    scores = [_score(system.scores.get(name)) for name in benchmarks]
    return [*scores, *((_average(system), change(gain(system, base))) if target else ())]


def _average(system: SystemScores) -> str:
    average = score_text(system.average, system.average_lenient)
    covered, targets = system.covers
    return average if system.is_complete else f"{average} over {covered} of {targets}"


def best_system(systems: Sequence[SystemScores]) -> str | None:
    """Return the name of the system with the highest average over all targets.

    Bases are left out, and systems that are told the domain of an item.
    """
    scored = [
        (s.average, s.name)
        for s in systems
        if s.kind != "base" and not s.labelled and s.average is not None and s.is_complete
    ]
    best = max(scored, key=lambda pair: pair[0], default=None)
    return best[1] if best else None


def _score(score: BenchmarkScore | None) -> str:
    if score is None:
        return "–"
    if (spread := score.spread) is None:
        return f"{_NOT_RUN}{score.not_run}"
    return score_text(spread.value, spread.lenient, spread.half)


def gain(system: SystemScores, base: SystemScores) -> float | None:
    """Return a system's average less the base's, in -1..1, if both are over all targets."""
    if system.average is None or base.average is None:
        return None
    if not (system.is_complete and base.is_complete):
        return None
    return system.average - base.average


def legend(results: Results) -> str:
    """Return what a reader must know about the scores, in a few lines."""
    scores = [score for s in results.systems for score in s.scores.values()]
    counts = sorted({score.n for score in scores})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    level = f"{percent(results.confidence, 0)} %"
    seeds, seed = ", ".join(map(str, results.seeds)), results.seed_name
    moved = any(system.kind not in results.fixed for system in results.systems)
    of = f" ({seed} {seeds})" if moved else ""
    lines = [
        f"n = {n} items a benchmark; ± half the {level} interval over {results.interval}"
        f"{of}; gain over base in points."
    ]
    if results.interval != "items":
        what = "base and experts: their" if "expert" in results.fixed else "the base: its"
        lines.append(f"No {seed} touches {what} interval is over items.")
        lines += _incomplete(results, seed)
    if any(score.lenient is not None for score in scores):
        lines.append("Strict: right and in the prescribed form. In brackets: right in any form.")
    if any(system.labelled for system in results.systems):
        lines.append("* is told the domain of every item, which other systems are not.")
    if benchmarks_of_role(results, "non-target"):
        lines.append("Other benchmarks have no part in average and gain.")
    tiers = {s.extra["sandbox"] for s in scores if s.extra.get("sandbox")}
    if tiers:
        lines.append(f"Generated code ran in the sandbox ({', '.join(sorted(tiers))}).")
    over = sum(score.extra.get("overflowed", 0) for score in scores)
    if over:
        lines.append(f"{over} answers scored 0 because the prompt did not fit the context.")
    return "\n".join(lines)


def _incomplete(results: Results, seed: str) -> list[str]:
    """Return a line on the scores that not every seed has."""
    asked = len(results.seeds)
    moved = [system for system in results.systems if system.kind not in results.fixed]
    found = [
        f"{system.name} on {name}: {has} of {asked}"
        for system in moved
        for name, score in system.scores.items()
        if (has := len(score.by_seed or [0])) < asked
    ]
    return [f"Not every {seed} has a score: {'; '.join(found)}."] if found else []


def routing_table(results: RunResults) -> Table | None:
    """Return, for every routed system and benchmark, each expert's share of the answer tokens."""
    routing = results.routing_response or results.routing
    if not routing:
        return None
    part = "answer tokens" if results.routing_response else "tokens"
    table = Table(title=f"Routing: share of {part} in %", title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column("benchmark", no_wrap=True)
    experts = list(next(iter(next(iter(routing.values())).values())))
    for expert in experts:
        table.add_column(escape(expert), justify="right", no_wrap=True)
    for system, benchmarks in routing.items():
        for name, shares in benchmarks.items():
            top = max(shares.values())
            cells = [
                Text(percent(shares[e], 0), style="bold" if shares[e] == top else "")
                for e in experts
            ]
            table.add_row(system, name, *cells)
    return table


def yield_table(results: RunResults) -> Table | None:
    """Return what became of the generated tasks, by domain and reason."""
    if not any(results.data.values()):
        return None
    table = Table(title="Self-generated data", title_justify="left")
    columns = ["domain", "written", "instructions", "kept"]
    rows = [counts for domains in results.data.values() for counts in domains.values()]
    if any(counts.retrieved for counts in rows):
        columns.append("kept with passages")
    for column in columns:
        justify: JustifyMethod = "left" if column == "domain" else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    table.add_column("dropped, by reason")
    for seed, domains in results.data.items():
        for domain, counts in domains.items():
            reasons = {**counts.dropped.brainstorm, **counts.dropped.curate}
            text = ", ".join(f"{n} {why}" for why, n in sorted(reasons.items()))
            name = domain if len(results.data) == 1 else f"{domain} (seed {seed})"
            retrieved = counts.retrieved.kept if counts.retrieved else "–"
            numbers = (counts.written, counts.instructions, counts.kept, retrieved)
            shown = [str(number) for number in numbers[: len(columns) - 1]]
            table.add_row(name, *shown, Text(text or "none"))
    return table


def times_table(results: RunResults) -> Table:
    """Return how long every stage took when its cells were made."""
    table = Table(title="Time", title_justify="left")
    for stage in results.seconds:
        table.add_column(stage, justify="right", no_wrap=True)
    table.add_column("sum", justify="right", no_wrap=True)
    times = list(results.seconds.values())
    table.add_row(*(duration(seconds) for seconds in [*times, sum(times)]))
    return table
