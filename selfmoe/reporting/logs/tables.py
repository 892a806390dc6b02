"""A comparison of logs in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selfmoe.reporting.logs.comparing import AVERAGE
from selfmoe.reporting.logs.model import ComparedLogs, ComparedMetric
from selfmoe.reporting.numbers import change, margin, p_value, percent
from selfmoe.reporting.terminal.narrow import print_table
from selfmoe.reporting.visible import visible


def print_logs(found: ComparedLogs, console: Console) -> None:
    """Print which logs, the table, and what must be known to read it."""
    for line in (f"A: {found.a}", f"B: {found.b}", ""):
        console.print(line, markup=False, soft_wrap=True)
    print_table(logs_table(found), console, keys=2)
    for line in _legend(found):
        console.print(line, markup=False, soft_wrap=True)


def logs_table(found: ComparedLogs) -> Table:
    """Return tasks and metrics by both scores, their difference, and items won and lost."""
    table = Table()
    for name in ("task", "metric"):
        table.add_column(name, no_wrap=True)
    for name in ("items", "A", "B", "B less A", "p", "B wins", "A wins", "equal"):
        table.add_column(name, justify="right", no_wrap=True)
    for before, row in zip([None, *found.rows], found.rows, strict=False):
        if before is not None and row.task == AVERAGE != before.task:
            table.add_section()
        table.add_row(*_cells(row, before))
    return table


def _cells(row: ComparedMetric, before: ComparedMetric | None) -> Iterator[str]:
    yield "" if before is not None and before.task == row.task else _shown(row.task)
    yield _shown(row.metric) + (" ↓" if row.lower_is_better else "")
    yield str(row.n)
    estimate = row.difference
    if row.share:
        yield from (percent(row.a), percent(row.b))
        yield f"{change(estimate.difference)}{margin(estimate.low, estimate.high)}"
    else:
        yield from (f"{row.a:.4g}", f"{row.b:.4g}", _plain(row))
    yield p_value(estimate.p)
    yield from map(str, (row.won, row.lost, row.equal))


def _plain(row: ComparedMetric) -> str:
    """Return a difference that is none of shares, with half its interval."""
    estimate = row.difference
    half = "" if estimate.low is None else f" ±{(estimate.high or 0) - estimate.difference:.2g}"
    return f"{estimate.difference:+.4g}{half}"


def _shown(text: str) -> str:
    return escape(str(visible(text)))


def _legend(found: ComparedLogs) -> Iterator[str]:
    rows = found.rows
    unit = "Scores in %, differences in points" if all(r.share for r in rows) else (
        "Scores in % and differences in points where all values lie in 0 to 1"
    )  # fmt: skip
    level = percent(found.confidence, 0)
    yield f"{unit}; ± half the {level} % interval of the difference over items (normal)."
    tests = {row.test for row in rows}
    how = [f"{test}" + (_WHERE[test] if len(tests) > 1 else "") for test in sorted(tests)]
    yield f"p, two-sided: {'; '.join(how)}. Each row by itself: of many, some fall below 0.05."
    if any(row.lower_is_better for row in rows):
        yield "↓: less is better."
    yield from (f"Note: {visible(note)}." for note in found.notes)


_WHERE = {
    "McNemar, exact": " where items are right or wrong",
    "sign flips": " of the differences elsewhere",
}
