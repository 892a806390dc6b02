"""Processes of this machine that do units: one pool a worker, so that one that dies is one only."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Literal

import psutil

from selfmoe.contracts import Ended, Unit, Workers


class Processes(Workers):
    """Spawned processes, each of which keeps what it has loaded for its next unit.

    Args:
        size: How many there are.
        work: Does the order of a unit.
        environment: Variables that they have.

    Attributes:
        method: How processes start. A fork would copy what runs threads already, as torch does.
    """

    method: ClassVar[Literal["spawn", "fork"]] = "spawn"

    def __init__(
        self, size: int, work: Callable[[Any], Any], environment: Mapping[str, str]
    ) -> None:
        self.size = size
        self._work, self._environment = work, dict(environment)
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[Future[Any], tuple[Unit, ProcessPoolExecutor]] = {}
        self._numbers: dict[ProcessPoolExecutor, Future[int]] = {}

    def start(self, unit: Unit) -> None:
        """Let a process do a unit, one that has done others if possible."""
        with _undisturbed(self._environment):
            while self._idle:
                pool = self._idle.pop()
                try:
                    future = pool.submit(self._work, unit.order)
                except BrokenProcessPool:  # it died while it was idle
                    self._end(pool)
                else:
                    break
            else:
                pool = self._new()
                future = pool.submit(self._work, unit.order)
        self._busy[future] = unit, pool

    def wait(self, seconds: float) -> Ended | None:
        """Return a unit that has ended; ``None`` if none does in time."""
        done, _ = wait(self._busy, timeout=seconds, return_when=FIRST_COMPLETED)
        if not done:
            return None
        future = done.pop()
        unit, pool = self._busy.pop(future)
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._end(pool)
            return Ended(unit, lost="its worker process died")
        self._idle.append(pool)
        if error is not None:
            return Ended(unit, lost=f"its worker could not do it: {type(error).__name__}: {error}")
        return Ended(unit, future.result())

    def close(self) -> None:
        """Kill all processes, with what they started."""
        for pool in list(self._numbers):
            self._end(pool)
        self._busy.clear()
        self._idle.clear()

    def _new(self) -> ProcessPoolExecutor:
        """Return a pool of one process, which is started."""
        context = multiprocessing.get_context(self.method)
        pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
        self._numbers[pool] = pool.submit(os.getpid)
        return pool

    def _end(self, pool: ProcessPoolExecutor) -> None:
        number = self._numbers.pop(pool)
        with suppress(BrokenProcessPool):
            _kill(number.result())
        pool.shutdown(cancel_futures=True)


@contextmanager
def _undisturbed(environment: Mapping[str, str]) -> Iterator[None]:
    """Let what is started have these variables, and not be told of Ctrl-C: the run ends it."""
    before = {name: os.environ.get(name) for name in environment}
    masked = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masked else set()
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin() -> None:
    """Let a process end when that of the run does, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _kill(number: int) -> None:
    """Kill a process with all that it started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(number)
        for one in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                one.kill()
