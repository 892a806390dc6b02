"""A run in a process of its own: followed, killed with all that it started, waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil

from killing.moments import Moment, Timeline
from selfmoe.store.directory import LOCK, RunDirectory
from selfmoe.store.files import SEAL
from selfmoe.store.status import cell_states

PAUSE_S = 0.03
"""How often a run is looked at."""
REPORT = "report"
"""What a run is at when all its cells are done."""


class Process(Protocol):
    """A running process that leads its own group, as ``subprocess.Popen`` gives it."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Return how it ended; ``None`` if it has not."""
        ...

    def wait(self) -> Any:
        """Return when it has ended."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


Start = Callable[[Path], Process]
"""Starts the run in a folder, or goes on with it."""


def follow(process: Process, out: Path) -> Timeline:
    """Wait for a run to end and return how it went on.

    Raises:
        RuntimeError: If it fails.
    """
    _until(process, lambda: _begun(process, out))
    begin, reached = time.monotonic(), [0.0]
    while process.poll() is None:
        reached += [time.monotonic() - begin] * (_cells(out) + 1 - len(reached))
        time.sleep(PAUSE_S)
    check(process)
    return Timeline(reached, time.monotonic() - begin)


def strike(process: Process, out: Path, moment: Moment) -> str | None:
    """Kill a run at a moment of its work.

    Returns:
        The stage that it was at; ``None`` if the run ended before.

    Raises:
        RuntimeError: If the run fails before.
    """
    if _until(process, lambda: _begun(process, out) and _cells(out) >= moment.cells):
        due = time.monotonic() + moment.seconds
        if _until(process, lambda: time.monotonic() >= due):
            _kill(process)
            return _stage(out)
    check(process)
    return None


def check(process: Process) -> None:
    """Wait for a process to end.

    Raises:
        RuntimeError: If it fails.
    """
    process.wait()
    if process.poll():
        raise RuntimeError(f"the run ended with {process.poll()}")


def _until(process: Process, reached: Callable[[], bool]) -> bool:
    """Wait for something to be so; return whether it came to that before the process ended."""
    while process.poll() is None:
        if reached():
            return True
        time.sleep(PAUSE_S)
    return False


def _begun(process: Process, out: Path) -> bool:
    """Return whether a process holds the lock of its run: then it has begun to work."""
    with contextlib.suppress(OSError):
        return f"process {process.pid} on " in (out / LOCK).read_text("utf-8")
    return False


def _cells(out: Path) -> int:
    """Return how many cells are done; the names of those that are being filled are longer."""
    return sum(1 for _ in out.glob(f"*/*@??????????/{SEAL}"))


def _kill(process: Process) -> None:
    """Kill the group of a process, and what it started in groups of their own, as sandboxes are."""
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def _stage(out: Path) -> str:
    """Return the stage of the first cell that is not done."""
    states = cell_states(RunDirectory(out))
    return next((cell.stage for cell in states if cell.state != "done"), REPORT)
