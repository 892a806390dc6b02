"""One unit of work and its result: done, or not there.

A cell is one folder, named ``<label>@<key>``. Its key is a hash of everything that decides its
content, so nothing is ever overwritten, and going back to an old setting finds the old cell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import RunError
from selfmoe.store.files import commit_folder, damage, write_atomic
from selfmoe.store.lock import awaited

FAILURE = "failure.txt"
"""In the work folder of a cell: why the last attempt failed."""

LOCK = "cell.lock"
"""In the work folder of a cell: held by whoever fills it."""


def key_of(facts: Mapping[str, Any]) -> str:
    """Return 10 hex digits that change whenever any of the facts does."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Cell:
    """One unit of work and its result.

    Attributes:
        path: Where the result lies once it is done.
        work: Where shards and checkpoints lie until then.
        key: Last part of the folder's name.
    """

    path: Path
    work: Path
    key: str

    def problem(self) -> str | None:
        """Return what is wrong with the result, or ``None`` if the cell is done."""
        return damage(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else fill the cell meanwhile; who does is waited for.

        What lies there to resume from goes once the cell is done.

        Raises:
            RunError: If somebody else does not come to an end.
        """
        with awaited(self.work / LOCK):
            yield
        if self.path.exists():
            shutil.rmtree(self.work, ignore_errors=True)

    def build(
        self, write: Callable[[Path, Path], Mapping[str, Any] | None], facts: Mapping[str, Any]
    ) -> float:
        """Do the work and commit it, with the cell ``locked``; return the seconds it took.

        Args:
            write: Called with ``work`` and the folder to fill; may return further facts.
            facts: What the cell was made from; kept in its seal.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / FAILURE).unlink(missing_ok=True)
        start = time.monotonic()
        kept: dict[str, Any] = dict(facts)

        def fill(out: Path) -> None:
            kept.update(write(self.work, out) or {})
            kept["seconds"] = round(time.monotonic() - start, 3)
            kept["finished"] = datetime.now(UTC).isoformat(timespec="seconds")

        commit_folder(self.path, fill, kept)
        return float(kept["seconds"])

    def note_failure(self, why: str) -> None:
        """Keep why the work could not be done, for ``selfmoe status``."""
        with contextlib.suppress(RunError):  # it is said anyway
            write_atomic(self.work / FAILURE, why)

    def set_aside(self) -> Path | None:
        """Move a damaged result out of the way and return where it went.

        Raises:
            RunError: If 999 of them have been put there already.
        """
        if not self.path.exists():
            return None
        for number in range(1, 1000):
            aside = self.path.with_name(f"{self.path.name}.damaged-{number}")
            if not aside.exists():
                self.path.rename(aside)
                return aside
        raise RunError(f"{self.path} is damaged and so are 999 copies of it; delete them")
