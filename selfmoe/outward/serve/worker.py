"""The engine in a thread of its own, beside an event loop that asks and is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from selfmoe.contracts.errors import StageError
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.engine import Engine
from selfmoe.outward.serve.systems import Systems


class FullError(Exception):
    """There are as many rows as may wait."""


class News(NamedTuple):
    """What there is of a row.

    Attributes:
        row: The row.
        new: How many tokens it has written.
        routes: How many pieces of routing it has.
        ended: Whether there will be no more.
    """

    row: Asked
    new: int
    routes: int
    ended: bool


class Worker:
    """Answers in a thread what an event loop asks.

    To be made, and all methods to be called, in the thread of the loop.

    Args:
        systems: The systems.
        slots: Most rows of one system at once.
        queue: Most rows that wait besides.
    """

    def __init__(self, systems: Systems, slots: int, queue: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(systems, slots, self._tell, self._take)
        self._most, self._open = slots + queue, 0
        self._inbox: deque[tuple[str, Asked]] = deque()
        self._wake, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="selfmoe-engine", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> int:
        """How many rows run or wait."""
        return self._open

    def ask(self, rows: Sequence[Asked]) -> asyncio.Queue[News]:
        """Let rows be answered; return where there is news of them.

        Raises:
            FullError: If they are more than may wait.
        """
        if self._open + len(rows) > self._most:
            raise FullError(
                f"{self._open} answers are being written or wait, of {self._most} at the most"
            )
        news: asyncio.Queue[News] = asyncio.Queue()
        self._open += len(rows)
        for row in rows:
            row.owner = news
            self._inbox.append(("put", row))
        self._wake.set()
        return news

    def drop(self, rows: Iterable[Asked]) -> None:
        """Take rows out that nobody waits for any more."""
        for row in rows:
            if row.owner is not None:
                row.owner = None
                self._open -= 1
                self._inbox.append(("drop", row))
        self._wake.set()

    def stop(self) -> None:
        """End the thread; rows that have not ended fail."""
        self._over = True
        self._wake.set()
        self._thread.join(timeout=60)

    # --- in the loop ------------------------------------------------------------------------------

    def _deliver(self, news: Sequence[News]) -> None:
        for one in news:
            owner, row = one.row.owner, one.row
            if owner is not None:
                owner.put_nowait(one)
                if one.ended:
                    row.owner = None
                    self._open -= 1

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over:
            if not self._engine.rows:
                self._wake.wait()
            self._engine.step()
        self._take()
        self._engine.stop(StageError("the server is shutting down"))

    def _take(self) -> None:
        """Take what the loop has put into the inbox."""
        self._wake.clear()
        while self._inbox:
            what, row = self._inbox.popleft()
            if what == "drop":
                self._engine.drop(row)
            else:
                self._engine.put(row)

    def _tell(self, rows: Sequence[Asked]) -> None:
        news = [
            News(row, len(row.new), len(row.routes), row.ended)
            for row in rows
            if row.ended or row.streams
        ]
        if news:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._deliver, news)
