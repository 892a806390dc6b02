"""Reading tables in CSV as spreadsheets, pandas and people write them."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from selfmoe.contracts.errors import DataError
from selfmoe.store.files import read_text

_UNNAMED = re.compile(r"(?:Unnamed: \d+(?:\.\d+)?(?:_level_\d+)?)?")
"""Names of columns without one: none at all, or what pandas calls them once it has read them."""

_INDEX = re.compile(r"\d+(?:\.0)?")

_LIMIT = threading.Lock()


class Line(NamedTuple):
    """A row of a table: the line of the file that it ends on, and its cells."""

    number: int
    cells: list[str]


@contextmanager
def _any_length(longest: int) -> Iterator[None]:
    """Let the csv module read fields of any length; its limit holds for the whole process."""
    with _LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, longest))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def csv_lines(path: Path) -> list[Line]:
    """Return the rows of a CSV file without those that are empty; lines end with `\\n` in cells.

    Raises:
        DataError: If it cannot be read.
    """
    text = read_text(path)
    try:
        with _any_length(len(text)):
            reader = csv.reader(io.StringIO(text), strict=True)
            lines = [Line(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise DataError(f"cannot read {path}: {error}") from None
    return [line for line in lines if not _empty(line.cells)]


def csv_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a head, as cells by column.

    What holds no data is left out: empty rows and columns, and the index that pandas writes in
    front, without a name. Case and outer space of the names do not matter.

    Args:
        path: The file.
        columns: Names that columns may have, in lower case; none has to be there.

    Raises:
        DataError: If it cannot be read, a column is unknown, there twice, or without a name though
            it holds data, or a row has more cells than there are columns.
    """
    lines = csv_lines(path)
    if not lines:
        return []
    head, *rows = lines
    names = {place: name.strip() for place, name in enumerate(head.cells)}
    indexed = _leading(names)
    for place in list(names):
        cells = [row.cells[place] for row in rows if place < len(row.cells)]
        if _holds_nothing(names[place], cells, place in indexed, columns):
            del names[place]
    _check_names(path, names, columns)
    _check_widths(path, rows, len(head.cells))
    found = [
        {names[place].lower(): cell for place, cell in enumerate(row.cells) if place in names}
        for row in rows
    ]
    return [row for row in found if not _empty(row.values())]


def _empty(cells: Iterable[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _leading(names: Mapping[int, str]) -> set[int]:
    """Return the places of the columns without a name that stand before all others."""
    return set(takewhile(lambda place: _UNNAMED.fullmatch(names[place]), names))


def _holds_nothing(name: str, cells: Sequence[str], first: bool, columns: Sequence[str]) -> bool:
    """Return whether a column holds no data: an empty one, or an index in front of the others."""
    if name.lower() in columns:
        return False
    return _empty(cells) or (first and all(_INDEX.fullmatch(cell.strip()) for cell in cells))


def _check_names(path: Path, names: Mapping[int, str], columns: Sequence[str]) -> None:
    expected = ", ".join(columns)
    for place, name in names.items():
        if _UNNAMED.fullmatch(name):
            raise DataError(
                f"{path}: column {place + 1} holds data but has no name; expected: {expected}\n"
                "  Name it in the first line, or take it out (pandas: to_csv(…, index=False))."
            )
    unknown = [name for name in names.values() if name.lower() not in columns]
    if unknown:
        marked = any(mark in name for name in unknown for mark in ";\t")
        hint = "\n  Columns must be separated by commas." if marked else ""
        raise DataError(f"{path}: unknown {', '.join(unknown)}; expected: {expected}{hint}")
    counts = Counter(name.lower() for name in names.values())
    for name, count in counts.items():
        if count > 1:
            raise DataError(f"{path}: {count} columns are named '{name}'\n  Keep one of them.")


def _check_widths(path: Path, rows: Sequence[Line], width: int) -> None:
    for number, cells in rows:
        if not _empty(cells[width:]):
            raise DataError(
                f"{path}, line {number}: {len(cells)} cells, but the first line names {width} "
                "columns\n  Put quotes around a text with commas."
            )
