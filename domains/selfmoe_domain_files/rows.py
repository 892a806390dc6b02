"""Reading files of tasks: JSON Lines or CSV with instruction, input and response."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from selfmoe.contracts import DataError, MissingDataError, normalise, plain_lines
from selfmoe.kits.domains import csv_table, read_jsonl

COLUMNS = ("instruction", "input", "response")


class Row(NamedTuple):
    """One task; its id follows from what it asks."""

    id: str
    instruction: str
    input: str
    response: str


def found(path: Path, what: str) -> Path:
    """Return the path.

    Raises:
        MissingDataError: If there is no file.
    """
    if not path.is_file():
        raise MissingDataError(
            f"the {what} are not there: no file {path}\n"
            f"  It is a JSONL or CSV file with {', '.join(COLUMNS)} (input may be empty)."
        )
    return path


def read(path: Path, what: str) -> list[Row]:
    """Return the tasks of a file, in its order.

    Args:
        path: Ends in ``.jsonl`` or ``.csv``.
        what: What they are, for messages.

    Raises:
        DataError: If it cannot be read, a task lacks a column or has one too many, or is there
            twice.
    """
    rows = [_row(path, n, raw) for n, raw in enumerate(_raw(found(path, what)), start=1)]
    if not rows:
        raise DataError(f"{path} holds no tasks\n  Expected: {', '.join(COLUMNS)} on every line.")
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if row.id in seen:
            raise DataError(
                f"{path}: task {number} asks what task {seen[row.id]} asks\n  Keep one of them."
            )
        seen[row.id] = number
    return rows


def _raw(path: Path) -> Iterable[Mapping[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return read_jsonl(path)
    if suffix == ".csv":
        return csv_table(path, COLUMNS)
    raise DataError(f"{path}: tasks are read from files that end in .jsonl or .csv")


def _row(path: Path, number: int, raw: Mapping[Any, Any]) -> Row:
    where = f"{path}, task {number}"
    unknown = [str(key) for key in raw if key not in COLUMNS]
    if unknown:
        raise DataError(f"{where}: unknown {', '.join(unknown)}; expected: {', '.join(COLUMNS)}")
    values = ["" if raw.get(key) is None else raw[key] for key in COLUMNS]
    for key, value in zip(COLUMNS, values, strict=True):
        if not isinstance(value, str) or (key != "input" and not value.strip()):
            raise DataError(
                f"{where}: '{key}' is missing or no text\n  Expected: {', '.join(COLUMNS)} "
                "(input may be empty)."
            )
    instruction, text, response = (plain_lines(value).strip() for value in values)
    digest = hashlib.sha256(normalise(instruction, text).encode()).hexdigest()[:10]
    return Row(digest, instruction, text, response)
