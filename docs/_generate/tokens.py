"""The table of tokens of converted GGUF files beside llama.cpp's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
FILE = Path(__file__).parents[2] / "results" / "gguf-tokens.json"
"""Not made yet where there is no such file."""


def compared(file: Path = FILE) -> str:
    """Return how many texts have llama.cpp's tokens; values that fare alike share a row."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    rows = [
        (
            code(row["file"]),
            ", ".join(map(code, row["pre"])),
            f"{row['same']} of {found['texts']}",
            _others(row),
        )
        for row in found["rows"]
    ]
    return table(("file", "values that mean its cut", "same tokens", "the others"), rows)


def _others(row: Json) -> str:
    """Return what texts with other tokens have in common."""
    differ = sum(row["differ"].values())
    if not differ:
        return ""
    marks, spaces = row["differ_with_marks"], row["differ_with_wide_spaces"]
    kinds = [f"{marks} have combining marks"] * bool(marks)
    kinds += [f"{spaces} have spaces beyond ASCII"] * bool(spaces)
    return f"of {differ}, " + ", ".join(kinds) if kinds else f"{differ}"
