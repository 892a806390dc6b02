"""Reading benchmark files in their upstream formats, with errors that name file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.lines import plain_lines
from selfmoe.kits.domains.tables import csv_lines
from selfmoe.store.files import check_text, read_jsonl, read_text

__all__ = [
    "csv_rows",
    "hub_rows",
    "json_file",
    "jsonl_rows",
    "locate",
    "read_jsonl",
    "read_text",
    "tidy",
]


def locate(data_dir: Path, folder: str, file: str) -> Path:
    """Return ``data_dir/folder/file``, or ``data_dir/file`` if ``data_dir`` is that folder itself.

    Raises:
        MissingDataError: If neither exists; says what was looked for and where it comes from.
    """
    candidates = [data_dir / folder / file, data_dir / file]
    for path in candidates:
        if path.exists():
            return path
    raise MissingDataError(
        f"no {folder} data in {data_dir}: neither {candidates[0]} nor {candidates[1]} exists\n"
        f"  Put the upstream files there, or leave --data-dir out to fetch them from the hub."
    )


def jsonl_rows(path: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file that all have the given text fields.

    Raises:
        DataError: If the file is empty, a line is no JSON object, or a field is missing or no text.
    """
    rows = read_jsonl(path)
    for number, row in enumerate(rows, start=1):
        for field in fields:
            if not isinstance(row.get(field), str) or not row[field].strip():
                raise DataError(
                    f"{path}, item {number}: field '{field}' is missing or no text\n"
                    f"  Expected on every line: {', '.join(fields)}."
                )
    return _filled(path, rows)


def json_file(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    check_text(value, str(path))
    return value


def csv_rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows of a CSV file, all with as many columns as named; empty ones are left out.

    A first line that starts with the first column's name is a header and skipped.

    Raises:
        DataError: If the file is empty or unreadable, or a row has another number of columns.
    """
    rows = []
    for number, cells in csv_lines(path):
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {number}: {len(cells)} columns, expected "
                f"{len(columns)}: {', '.join(columns)}"
            )
        rows.append(cells)
    if rows and rows[0][0].strip().lower() == columns[0]:
        rows = rows[1:]
    return _filled(path, rows)


def hub_rows(path: str, name: str | None, split: str) -> list[dict[str, Any]]:
    """Return the rows of a data set of the Hugging Face hub, through ``datasets``.

    Raises:
        DataError: If it cannot be had, with what to do without a network.
    """
    import datasets

    try:
        return [dict(row) for row in datasets.load_dataset(path, name, split=split)]
    except Exception as error:  # datasets raises a dozen unrelated types when offline
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"cannot fetch '{path}' from the hub: {type(error).__name__}: {first}\n"
            "  Check the network, or pass --data-dir with the upstream files."
        ) from None


def tidy(text: str) -> str:
    """Return a text without blank lines and outer space: what fits into a list of tasks."""
    return re.sub(r"\n\s*\n", "\n", plain_lines(text)).strip()


def _filled(path: Path, rows: list[Any]) -> list[Any]:
    if not rows:
        raise DataError(f"{path} holds no items\n  Was the download complete?")
    return rows
