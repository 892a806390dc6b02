"""Reading the records that a stage left in its cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.contracts.records import Example, Seed
from selfmoe.store.files import read_jsonl


def read_seeds(folder: Path) -> list[Seed]:
    """Return the seeds in a folder."""
    return [Seed(**row) for row in read_jsonl(folder / "seeds.jsonl")]


def read_examples(folder: Path) -> list[Example]:
    """Return the examples in a data cell."""
    return [Example.from_json(row) for row in read_jsonl(folder / "examples.jsonl")]


def read_yield(folder: Path) -> dict[str, Any]:
    """Return the counts in ``yield.json``."""
    counts: dict[str, Any] = json.loads((folder / "yield.json").read_text("utf-8"))
    return counts
