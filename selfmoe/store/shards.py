"""Rows on disk, in parts that are complete or absent.

Killed work goes on with the first part that is missing. Parts have fixed borders and nothing in one
depends on another, so what comes out equals what work that was never interrupted would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from selfmoe.contracts.errors import DataError
from selfmoe.store.files import read_jsonl, write_jsonl
from selfmoe.store.lock import awaited, removed

Row = dict[str, Any]
Asked = TypeVar("Asked")


class Share(NamedTuple):
    """The shards that one of several workers fills: every so many-th.

    Attributes:
        first: The first of them.
        of: How many workers share the shards.
    """

    first: int
    of: int


class ShareFilled(Exception):  # noqa: N818 - no error
    """A share is filled: who was to fill no more stops here."""


def shards_in(rows: int, size: int) -> int:
    """Return how many shards some rows make, ``size`` of them a shard."""
    return ceil(rows / size)


def in_shards(
    work: Path,
    stubs: Sequence[Row],
    size: int,
    fill: Callable[[int, Sequence[Row]], list[Row]],
    progress: Callable[[int, int], None] | None = None,
    share: Share | None = None,
) -> list[Row]:
    """Return all rows, filling and committing those that ``work`` does not hold yet.

    Args:
        work: Folder of the shards; made if needed.
        stubs: What is known of every row beforehand; a stored row that differs is made again.
        size: Rows a shard.
        fill: Turns stubs into rows, given the number of the shard; sees one shard at a time.
        progress: Told (rows done, rows in all) at the start and after every shard.
        share: The shards to fill, if not all.

    Raises:
        RunError: If a shard cannot be written.
        ShareFilled: In place of returning, if there is a share.
    """
    tell = progress or (lambda done, total: None)
    rows: list[Row] = []
    tell(0, len(stubs))
    for index, part in _parts(stubs, size, share):
        rows += shard(work, index, partial(fill, index, part), part)
        tell(len(rows), len(stubs))
    return _whole(rows, share)


def in_turns(
    work: Path,
    stubs: Sequence[Row],
    size: int,
    ask: Callable[[int, Sequence[Row]], Asked],
    finish: Callable[[Sequence[Row], Asked], list[Row]],
    background: Executor,
    progress: Callable[[int, int], None] | None = None,
    share: Share | None = None,
) -> list[Row]:
    """Return all rows as ``in_shards`` does, finishing each shard while the next one is asked.

    A shard is committed when it is finished, in the background; what goes wrong there is raised
    here, after the next one is asked. No more than one shard waits to be finished.

    Args:
        work: Folder of the shards; made if needed.
        stubs: What is known of every row beforehand; a stored row that differs is made again.
        size: Rows a shard.
        ask: Begins a shard, given its number and stubs; runs in this thread.
        finish: Makes rows of stubs and what was asked; runs in ``background``.
        background: Its caller ends it, also when this raises.
        progress: Told (rows done, rows in all) at the start and after every shard.
        share: The shards to fill, if not all.

    Raises:
        RunError: If a shard cannot be written.
        ShareFilled: In place of returning, if there is a share.
    """
    tell = progress or (lambda done, total: None)
    rows: list[Row] = []
    due: list[Future[list[Row]]] = []

    def settle() -> None:
        while due:
            rows.extend(due.pop().result())
            tell(len(rows), len(stubs))

    tell(0, len(stubs))
    for index, part in _parts(stubs, size, share):
        make: Callable[[], Sequence[Row]] = list
        if not _holds(_path(work, index), part):
            make = partial(finish, part, ask(index, part))
        settle()
        due.append(background.submit(shard, work, index, make, part))
    settle()
    return _whole(rows, share)


def _parts(
    stubs: Sequence[Row], size: int, share: Share | None
) -> Iterator[tuple[int, Sequence[Row]]]:
    """Yield number and stubs of every shard of a share, or of all."""
    first, step = share or (0, 1)
    for index in range(first, shards_in(len(stubs), size), step):
        yield index, stubs[index * size : (index + 1) * size]


def _whole(rows: list[Row], share: Share | None) -> list[Row]:
    if share is not None:
        raise ShareFilled
    return rows


def shard(
    work: Path, index: int, make: Callable[[], Sequence[Row]], stubs: Sequence[Row] | None = None
) -> list[Row]:
    """Return the rows of one shard: from disk if they are there, else made and committed.

    Whoever else makes it, such as a worker that outlived its run, is waited for.

    Args:
        work: Folder of the shards; made if needed.
        index: Number of the shard.
        make: Makes its rows.
        stubs: What is known of every row beforehand, if it is; stored rows that differ are made
            again.

    Raises:
        RunError: If it cannot be written, or somebody else does not come to an end with it.
    """
    path = _path(work, index)
    if not _holds(path, stubs):
        lock = path.with_suffix(".lock")
        with awaited(lock), removed(lock):
            if not _holds(path, stubs):
                write_jsonl(path, make())
    return read_jsonl(path)


def _path(work: Path, index: int) -> Path:
    return work / f"shard-{index:05d}.jsonl"


def _holds(path: Path, stubs: Sequence[Row] | None) -> bool:
    try:
        rows = read_jsonl(path)
    except DataError:  # none yet, or a damaged one
        return False
    if stubs is None:
        return True
    return len(rows) == len(stubs) and all(
        stub.items() < row.items() for stub, row in zip(stubs, rows, strict=True)
    )
