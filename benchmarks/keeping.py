"""Results that are made one by one: each is written beside what the file holds of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def beside_others(found: Mapping[str, Any], target: Path, rows: str, *by: str) -> list[Json]:
    """Return the rows of a file with one more, in order; one of the same name is replaced.

    Args:
        found: The row.
        target: The file, if there is one.
        rows: The entry with its rows.
        by: What rows are called by.
    """
    known = json.loads(target.read_text("utf-8"))[rows] if target.exists() else []
    others = [row for row in known if _name(row, by) != _name(found, by)]
    return sorted([*others, dict(found)], key=lambda row: _name(row, by))


def _name(row: Mapping[str, Any], by: tuple[str, ...]) -> list[str]:
    return [str(row[one]) for one in by]
