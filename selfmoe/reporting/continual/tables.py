"""Experts that came one by one, in the terminal: an arrival a line, one table a system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selfmoe.reporting.continual.model import Arrival, ContinualResults
from selfmoe.reporting.model import Changes
from selfmoe.reporting.numbers import change, margin, percent, plural, whole_mean
from selfmoe.reporting.terminal.narrow import print_table
from selfmoe.reporting.terminal.progress import duration

COLUMNS = ("experts", "new", "alone", "old since", "average", "made in", "asked in")
"""What ``row_of`` holds, one name a column."""


def print_continual(results: ContinualResults, console: Console) -> None:
    """Print a table a system and what must be known to read them, as wide as the console is."""
    for system in results.systems:
        print_table(arrivals_table(results, system), console)
        console.print()
    for line in continual_notes(results):
        console.print(line, markup=False)


def arrivals_table(results: ContinualResults, system: str) -> Table:
    """Return a line an arrival: what the new expert and the old ones can do, and the cost."""
    table = Table(
        title=f"{system}: experts one by one ({results.join}), in %", title_justify="left"
    )
    table.add_column("came", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for arrival in results.arrivals:
        table.add_row(escape(arrival.expert or "–"), *row_of(arrival, system))
    return table


def row_of(arrival: Arrival, system: str) -> list[str]:
    """Return what one arrival changed for a system, and what it cost."""
    return [
        str(arrival.experts),
        percent(whole_mean([arrival.scores.get(system, {}).get(name) for name in arrival.home])),
        percent(whole_mean(list(arrival.home.values()))),
        since_text(kept(arrival, system)),
        percent(arrival.average(system)),
        duration(arrival.made_in()),
        duration(arrival.seconds.get("evaluate", 0.0)),
    ]


def kept(arrival: Arrival, system: str) -> Changes | None:
    """Return what became of all benchmarks of earlier experts together; ``None`` at first."""
    found = arrival.since.get(system, {})
    return found.get("average") or (next(iter(found.values())) if len(found) == 1 else None)


def since_text(changes: Changes | None) -> str:
    """Return a change in points with half its interval: ``-1.2 ±0.8``."""
    if changes is None or changes.score is None:
        return "–"
    score = changes.score
    return f"{change(score.difference)}{margin(score.low, score.high)}"


def continual_notes(results: ContinualResults) -> list[str]:
    """Return what a reader must know, then what did not stay as it was, then what is missing."""
    return [*_about(results), *_held(results.arrivals), *_missing(results)]


def _about(results: ContinualResults) -> Iterator[str]:
    seeds = ", ".join(map(str, results.seeds))
    over = "items" if len(results.seeds) == 1 else "root seeds"
    yield (
        "New: the system on the domain of who came; alone: that expert by itself. Old since: all "
        "domains that were there, less what the system scored when the expert of each had just "
        f"come, the same items; ± half the {percent(results.confidence, 0)} % interval over {over} "
        f"(root seed {seeds}), in points."
    )
    yield "Made in: data, expert and compositions. Asked in: all benchmarks so far."


def _held(arrivals: Sequence[Arrival]) -> Iterator[str]:
    came = [arrival for arrival in arrivals if arrival.expert]
    changed = [arrival.expert for arrival in came if arrival.unchanged is False]
    lost = [arrival.expert for arrival in came if arrival.found_again is False]
    if changed:
        yield f"Files of earlier experts changed when these came: {', '.join(changed)}."
    elif came:
        yield f"Earlier experts: the same files, byte for byte, after {_arrivals(len(came))}."
    if lost:
        yield f"Taking these out again does not give the state before: {', '.join(lost)}."
    elif came:
        yield "Taken out again, last first, every one leaves the state before, with nothing to do."


def _arrivals(number: int) -> str:
    return plural(number, "arrival")


def _missing(results: ContinualResults) -> Iterator[str]:
    for state, cells in results.missing.items():
        for name, why in cells.items():
            yield f"Failed: {name} (root seed and state {state}): {why.partition(chr(10))[0]}"
