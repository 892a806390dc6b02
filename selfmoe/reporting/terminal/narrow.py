"""Tables in whatever width there is: nothing in them is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_BETWEEN = 3
"""Characters between two columns."""


def print_table(table: Table, console: Console, keys: int = 1) -> None:
    """Print a table, in several parts where it is too wide.

    Args:
        table: The table; columns that may be wrapped are those without ``no_wrap``.
        console: Where to.
        keys: How many of the first columns every part repeats.
    """
    if table.title:  # by itself, or it would be filled up with blanks
        console.print(Text(str(table.title), style="italic"), soft_wrap=True)
    for part in parts(table, console, keys):
        console.print(part)


def fits_width(table: Table, console: Console) -> bool:
    """Return whether a table can be printed in one part."""
    return len(list(parts(table, console))) == 1


def parts(table: Table, console: Console, keys: int = 1) -> Iterator[Table]:
    """Yield the table, or several with some of its columns each where it is too wide."""
    needed = [_needed(column, console) + _BETWEEN for column in table.columns]
    left = list(range(keys, len(needed)))
    while True:
        taken = list(range(keys))
        room = console.width - 1 - sum(needed[:keys])
        while left and (needed[left[0]] <= room or len(taken) == keys):
            room -= needed[left[0]]
            taken.append(left.pop(0))
        yield _some(table, taken, folded=room < 0)
        if not left:
            return


def _needed(column: Column, console: Console) -> int:
    """Return the characters that a column cannot do without."""
    texts = [column.header, *column.cells]
    sizes = [Measurement.get(console, console.options, text) for text in texts]
    return max(size.maximum if column.no_wrap else size.minimum for size in sizes)


def _some(table: Table, taken: Sequence[int], *, folded: bool) -> Table:
    """Return some columns of a table, untitled; ``folded``: broken anywhere rather than cut."""
    part = Table()
    columns = [table.columns[index] for index in taken]
    for column in columns:
        part.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            no_wrap=column.no_wrap and not folded,
            overflow="fold",
        )
    for row, *cells in zip(table.rows, *(column.cells for column in columns), strict=True):
        part.add_row(*cells, style=row.style, end_section=row.end_section)
    return part
