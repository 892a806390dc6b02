"""What every executor must hold, as a test class to subclass.

    class TestMyExecutor(ExecutorContract):
        @pytest.fixture
        def executor(self):
            return MyExecutor(MyExecutor.Config(workers=2))

The executor must have exactly two workers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from selfmoe.contracts.component import Component
from selfmoe.contracts.executor import Ended, Executor, Unit, Workers
from selfmoe.testing.components import ComponentContract

MOST_S = 120.0
"""Seconds that anything may take; the first unit of a worker waits for its process to start."""
MEET_S = 20.0
"""Seconds that one unit waits for another to begin."""
VARIABLE, VALUE = "TOLD_BY", "the run"


def do(order: Mapping[str, Any]) -> Any:
    """Do what an order of the checks says."""
    return getattr(_Orders, order["what"])(**order.get("with", {}))


class _Orders:
    """What can be asked for, each in a worker."""

    @staticmethod
    def number() -> int:
        return os.getpid()

    @staticmethod
    def doubled(n: int) -> int:
        return 2 * n

    @staticmethod
    def variable() -> str | None:
        return os.environ.get(VARIABLE)

    @staticmethod
    def fault() -> None:
        raise ValueError("no such thing")

    @staticmethod
    def death() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def meeting(own: str, other: str) -> bool:
        """Return whether another unit came to be done at the same time."""
        Path(own).touch()
        return _until(Path(other).exists, MEET_S)

    @staticmethod
    def sleep(started: str) -> None:
        """Say who sleeps, then do so far longer than a check takes."""
        Path(started + ".part").write_text(str(os.getpid()))
        Path(started + ".part").rename(started)
        time.sleep(10 * MOST_S)


class ExecutorContract(ComponentContract):
    """Checks of an executor with two workers."""

    @pytest.fixture
    def executor(self) -> Executor:
        """Return the executor to check, with two workers; subclasses override this."""
        raise NotImplementedError("override the fixture 'executor'")

    @pytest.fixture
    def component(self, executor: Executor) -> Component:
        """Return the executor."""
        return executor

    @pytest.fixture
    def workers(self, executor: Executor) -> Iterator[Workers]:
        """Return the executor at work; closed in the end, and once more, which does no harm."""
        workers = executor.open(do, {VARIABLE: VALUE})
        with closing(workers), closing(workers):
            assert not executor.here
            assert workers.size == 2
            yield workers

    def test_every_unit_ends_once_with_what_came_of_it(self, workers: Workers) -> None:
        """Units that follow one another all end, each once, with what the work returned."""
        found = [one(workers, "doubled", n=n) for n in range(3)]
        assert [(ended.result, ended.lost) for ended in found] == [(0, ""), (2, ""), (4, "")]
        assert workers.wait(0.0) is None

    def test_two_units_are_done_at_once(self, workers: Workers, tmp_path: Path) -> None:
        """Two units that wait for each other both end."""
        paths = [str(tmp_path / name) for name in ("a", "b")]
        for own, other in (paths, paths[::-1]):
            workers.start(unit(own, "meeting", own=own, other=other))
        assert [ended(workers).result for _ in paths] == [True, True]

    def test_units_are_done_by_other_processes(self, workers: Workers) -> None:
        """Another process than this one does a unit."""
        assert one(workers, "number").result not in (None, os.getpid())

    def test_workers_have_the_variables(self, workers: Workers) -> None:
        """They have the variables that they must have; this process gets none of them."""
        assert one(workers, "variable").result == VALUE
        assert VARIABLE not in os.environ

    def test_a_fault_is_told(self, workers: Workers) -> None:
        """What the work raises is told as why there is no result, and the next unit is done."""
        found = one(workers, "fault")
        assert found.result is None
        assert "ValueError: no such thing" in found.lost
        assert one(workers, "doubled", n=2).result == 4

    def test_a_worker_that_dies_costs_its_unit_only(self, workers: Workers, tmp_path: Path) -> None:
        """The unit of a worker that dies is told as lost; that of the other goes on, and others."""
        own, other = str(tmp_path / "own"), str(tmp_path / "other")
        workers.start(unit("goes on", "meeting", own=own, other=other))
        assert _until(Path(own).exists)
        assert one(workers, "death").lost
        workers.start(unit("comes later", "meeting", own=other, other=own))
        assert [ended(workers).result for _ in range(2)] == [True, True]

    def test_waiting_has_an_end(self, workers: Workers, tmp_path: Path) -> None:
        """It does not wait longer for a unit than it is told to."""
        workers.start(unit("sleeps", "sleep", started=str(tmp_path / "asleep")))
        begin = time.monotonic()
        assert workers.wait(0.2) is None
        assert time.monotonic() - begin < MOST_S / 2

    def test_close_ends_what_is_being_done(self, workers: Workers, tmp_path: Path) -> None:
        """Once it is closed, no process goes on with a unit; closing again does no harm."""
        asleep = tmp_path / "asleep"
        workers.start(unit("sleeps", "sleep", started=str(asleep)))
        assert _until(asleep.exists)
        workers.close()
        number = int(asleep.read_text())
        try:
            assert _until(lambda: not _alive(number), 20.0)
        finally:
            if _alive(number):
                os.kill(number, signal.SIGKILL)


def unit(name: str, what: str, **given: Any) -> Unit:
    """Return a unit of the checks."""
    return Unit(name, "evaluate", {"what": what, "with": given})


def one(workers: Workers, what: str, **given: Any) -> Ended:
    """Return what came of one unit."""
    workers.start(unit(what, what, **given))
    return ended(workers, what)


def ended(workers: Workers, name: str | None = None) -> Ended:
    """Return the next unit that ends, which has to be the one of a name, if that is given.

    Raises:
        AssertionError: If none ends in time, or another one.
    """
    due = time.monotonic() + MOST_S
    while time.monotonic() < due:
        found = workers.wait(1.0)
        if found is not None:
            assert name in (None, found.unit.name)
            return found
    raise AssertionError(f"no unit ended in {MOST_S:.0f} s")


def _until(reached: Any, seconds: float = MOST_S) -> bool:
    """Wait for something to be so; return whether it came to that in time."""
    due = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > due:
            return False
        time.sleep(0.02)
    return True


def _alive(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
