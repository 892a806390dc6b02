"""Tasks spread over workers: each handed out as soon as what it needs is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfmoe.contracts.errors import SelfmoeError, StageError
from selfmoe.contracts.executor import Ended
from selfmoe.pipeline.doing import Done
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Task
from selfmoe.pipeline.workers.crew import Crew
from selfmoe.pipeline.workers.order import Report
from selfmoe.reporting.terminal.progress import Update
from selfmoe.store.shards import Share

_LOOK_S = 1.0
"""Seconds between two looks at how far things are."""


def spread(tasks: Sequence[Task], session: Session, crew: Crew) -> Outcome:
    """Let workers fill the cells of all tasks that are not done; see ``execute.fill``.

    Raises:
        SelfmoeError: If something goes wrong that concerns the whole run.
    """
    board = _Board(tasks, session, crew)
    with session.display.work("run") as update:
        board.work_off(update)
    return board.in_order()


@dataclass
class _Piece:
    """A task, or a share of its shards, that can be done now.

    Attributes:
        task: The task.
        share: The share; ``None`` for the task itself.
        deaths: How many workers died of it.
    """

    task: Task
    share: Share | None = None
    deaths: int = 0


class _Board:
    """What waits, what can be done, what is being done, and what came of the rest."""

    def __init__(self, tasks: Sequence[Task], session: Session, crew: Crew) -> None:
        self._tasks, self._session, self._crew = tasks, session, crew
        self._outcome = Outcome()
        self._waiting = list(tasks)
        self._ready: deque[_Piece] = deque()
        self._busy: dict[str, _Piece] = {}
        self._warned: set[str] = set()

    def work_off(self, update: Update) -> None:
        """Hand out and take back until nothing is left."""
        workers = self._crew.workers
        while True:
            while len(self._busy) < workers.size and (piece := self._next()):
                unit = self._crew.unit(piece.task, piece.share)
                self._busy[unit.name] = piece
                workers.start(unit)
            if not self._busy:
                return
            running = [_words(piece) for piece in self._busy.values()]
            update(self._settled, len(self._tasks), f"at work: {', '.join(running)}")
            if ended := workers.wait(_LOOK_S):
                self._take(ended)

    def in_order(self) -> Outcome:
        """Return what came of the tasks, in their order."""
        place = {id(task): number for number, task in enumerate(self._tasks)}
        for done in (self._outcome.built, self._outcome.reused, self._outcome.skipped):
            done.sort(key=lambda task: place[id(task)])
        self._outcome.failed.sort(key=lambda failed: place[id(failed[0])])
        return self._outcome

    # --- handing out ------------------------------------------------------------------------------

    def _next(self) -> _Piece | None:
        """Return what can be done now; ``None`` if everything that is left needs what is not there.

        A task that can be done is handed out in shares where that is possible.
        """
        while not self._ready and (task := self._free()):
            self._waiting.remove(task)
            if self._outcome.blocks(task):
                self._outcome.skipped.append(task)
            elif task.problem() is None:
                self._outcome.reused.append(task)
            else:
                self._ready += self._pieces(task)
        return self._ready.popleft() if self._ready else None

    def _free(self) -> Task | None:
        """Return the first task that waits for no other, be it for the same cell."""
        ahead = {piece.task.cell.path for piece in (*self._ready, *self._busy.values())}
        for task in self._waiting:
            needed = {task.cell.path, *(other.cell.path for other in task.inputs.values())}
            if not needed & ahead:
                return task
            ahead.add(task.cell.path)
        return None

    def _pieces(self, task: Task) -> Iterator[_Piece]:
        shards = task.shards(task, self._session) if task.shards else 1
        number = max(1, min(shards, self._crew.workers.size))
        for first in range(number):
            yield _Piece(task, Share(first, number) if number > 1 else None)

    # --- taking back ------------------------------------------------------------------------------

    def _take(self, ended: Ended) -> None:
        piece = self._busy.pop(ended.unit.name)
        if ended.lost:
            self._lost(piece, ended)
            return
        report = Report(**ended.result)
        for warns, text in report.said:
            self._say(warns, text)
        if report.error is not None:
            self._settle(piece, report.error)
        elif piece.share is None:
            self._settle(piece, Done(report.seconds, tuple(report.remarks)))
        elif not self._has_failed(piece) and not self._others(piece):
            self._ready.appendleft(_Piece(piece.task))

    def _lost(self, piece: _Piece, ended: Ended) -> None:
        """Do again what a worker died of, unless that is known to be no use."""
        piece.deaths += 1
        if self._has_failed(piece):
            return
        if piece.deaths <= self._crew.retries:
            self._session.display.warn(f"{_words(piece)}: {ended.lost}; it is done again")
            self._ready.appendleft(piece)
            return
        why = f"its worker was lost each of {piece.deaths} times, at last: {ended.lost}"
        self._settle(piece, StageError(f"{why}\n  Look at whether there is memory enough for it."))

    def _settle(self, piece: _Piece, came: Done | SelfmoeError) -> None:
        """Keep what came of a task; the first share of it that fails decides."""
        if self._has_failed(piece):
            return
        for other in [one for one in self._ready if one.task is piece.task]:
            self._ready.remove(other)
        counter = f"[{self._settled + 1}/{len(self._tasks)}]"
        self._outcome.take(piece.task, came, self._session.display, counter)

    def _has_failed(self, piece: _Piece) -> bool:
        return any(task is piece.task for task, _ in self._outcome.failed)

    def _others(self, piece: _Piece) -> bool:
        """Return whether shares of the same task are not filled yet."""
        return any(other.task is piece.task for other in (*self._ready, *self._busy.values()))

    @property
    def _settled(self) -> int:
        return sum(len(done) for done in vars(self._outcome).values())

    def _say(self, warns: bool, text: str) -> None:
        """Show what a worker said; what all of them warn of, once."""
        if not warns:
            self._session.display.say(text)
        elif text not in self._warned:
            self._warned.add(text)
            self._session.display.warn(text)


def _words(piece: _Piece) -> str:
    share = piece.share
    return piece.task.name + (f" ({share.first + 1} of {share.of})" if share else "")
