"""Sample rows on disk, in shards that are complete or absent.

A killed evaluation goes on with the first missing shard; because shards have fixed borders, its
rows equal those of one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.store.files import read_jsonl, write_jsonl

Row = dict[str, Any]
Progress = Callable[[int, int], None]


def in_shards(
    work: Path,
    stubs: Sequence[Row],
    size: int,
    fill: Callable[[Sequence[Row]], list[Row]],
    progress: Progress | None = None,
) -> list[Row]:
    """Return all rows, filling and committing those that ``work`` does not hold yet.

    Args:
        work: Folder of the shards; made if needed.
        stubs: What is known of every row beforehand; a stored row that differs is made again.
        size: Rows a shard.
        fill: Turns stubs into rows; sees one shard at a time.
        progress: Told (rows done, rows in all) at the start and after every shard.
    """
    tell = progress or (lambda done, total: None)
    rows: list[Row] = []
    tell(0, len(stubs))
    for start in range(0, len(stubs), size):
        part = stubs[start : start + size]
        path = work / f"shard-{start // size:05d}.jsonl"
        if not _holds(path, part):
            write_jsonl(path, fill(part))
        rows += read_jsonl(path)
        tell(len(rows), len(stubs))
    return rows


def _holds(path: Path, stubs: Sequence[Row]) -> bool:
    try:
        rows = read_jsonl(path)
    except DataError:
        return False
    return len(rows) == len(stubs) and all(
        "score" in row and {key: row.get(key) for key in stub} == stub
        for row, stub in zip(rows, stubs, strict=True)
    )


def batch(work: Path, index: int, make: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return the rows of a batch: from disk if they are there, else made and committed."""
    path = work / f"batch-{index:05d}.jsonl"
    if path.exists():
        try:
            return read_jsonl(path)
        except DataError:
            path.unlink()
    write_jsonl(path, make())
    return read_jsonl(path)
