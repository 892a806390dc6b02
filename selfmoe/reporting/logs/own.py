"""selfmoe's own samples: one row an item, in ``<domain>.<benchmark>.samples.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.reporting.logs.items import Item, TaskLog

SUFFIX = ".samples.jsonl"

_MEASURES = ("score", "lenient")


def is_row(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of selfmoe's."""
    return {"id", "prompt", "score"} <= row.keys()


def read(path: Path, rows: Sequence[Mapping[str, Any]]) -> TaskLog:
    """Return what rows of samples say.

    Args:
        path: The file.
        rows: What it holds.

    Raises:
        DataError: If a row is none of selfmoe's.
    """
    items: dict[str, Item] = {}
    for number, row in enumerate(rows, start=1):
        if not is_row(row):
            raise DataError(f"{path}, row {number}: no sample of selfmoe, as the first rows are")
        values = {measure: row[measure] for measure in _MEASURES if measure in row}
        items[str(row["id"])] = Item(
            str(row["prompt"]), str(row.get("gold")), row.get("shots_asked"), values
        )
    shots = {item.shots for item in items.values()}
    return TaskLog(
        name=path.name.removesuffix(SUFFIX).replace(".", "/", 1),
        path=path,
        kind="selfmoe",
        items=items,
        shots=shots.pop() if len(shots) == 1 else None,
    )
