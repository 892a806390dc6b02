"""What a plan will take, in a table: tokens, operations, room, time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from selfmoe.contracts.errors import counted
from selfmoe.pipeline.forecast import Forecast, Rates
from selfmoe.pipeline.task import Task
from selfmoe.reporting.terminal.narrow import print_table
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.cell import Cell
from selfmoe.store.costs import Tokens
from selfmoe.store.status import bytes_text

UNITS = ("", "k", "M", "G", "T", "P", "E", "Z")
"""What counts are given in, each a thousand times the one before."""

_UNKNOWN = (
    "What that takes is not known here: no such cell is done.\n"
    "  Small runs measure it: make one or two, such as with --preset try or a few --set, and give "
    "them with --rates RUN."
)


def print_costs(tasks: Sequence[Task], rates: Rates) -> None:
    """Print what every cell that is to do will take, and all of them together."""
    forecasts = rates.forecast(tasks)
    known = [found for found in forecasts.values() if found is not None]
    if not forecasts:
        return
    if not known:
        output().print(_UNKNOWN, markup=False, soft_wrap=True)
        return
    print_table(_table(tasks, forecasts), output(), keys=2)
    output().print(_sum(known, len(forecasts) - len(known), rates), markup=False, soft_wrap=True)


def _table(tasks: Sequence[Task], forecasts: Mapping[Cell, Forecast | None]) -> Table:
    table = Table(title="What it will take", title_justify="left")
    for column in ("stage", "cell"):
        table.add_column(column, overflow="fold")
    for column in ("read", "written", "learnt", "FLOP", "on disk", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for cell, task in {task.cell: task for task in tasks}.items():
        if cell in forecasts:
            table.add_row(task.stage, task.label, *_cells(forecasts[cell]))
    known = [found for found in forecasts.values() if found is not None]
    table.add_section()
    table.add_row("all", "", *_cells(_total(known)), style="bold")
    return table


def _cells(found: Forecast | None) -> list[str]:
    if found is None:
        return [*[""] * 5, "not known"]
    counts = [count_text(number) for number in (*found.tokens, found.operations)]
    return [*counts, bytes_text(found.bytes), time_text(found.seconds)]


def _total(known: Iterable[Forecast]) -> Forecast:
    found = list(known)
    tokens = Tokens(*(sum(kind) for kind in zip(*(one.tokens for one in found), strict=True)))
    return Forecast(
        tokens,
        sum(one.operations for one in found),
        sum(one.bytes for one in found),
        sum(one.seconds for one in found),
    )


def _sum(known: Sequence[Forecast], unknown: int, rates: Rates) -> str:
    said = f"About {time_text(_total(known).seconds)}, by what such cells took on "
    said += " and on ".join(rates.places) + "."
    more = f" Of {counted(unknown, 'cell')} it is not known." if unknown else ""
    return said + more + " Tokens are those the base computes, padding included."


def count_text(count: float) -> str:
    """Return a number as people say it: ``812``, ``3.4 M``."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in UNITS:
        if count < 999.95 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.1f} {unit}"


def time_text(seconds: float) -> str:
    """Return a time that is not known well: ``40 s``, ``12 min``, ``5.2 h``."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"
