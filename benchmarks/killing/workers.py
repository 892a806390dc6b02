"""A run whose workers are killed one by one while it goes on, and what that cost."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from killing.processes import PAUSE_S, Process, check
from selfmoe.store.files import SEAL
from selfmoe.store.lock import holder

MOST_S = 1800.0
"""Seconds that a run may take; one that takes longer is ended, which is an error."""


class Kill(NamedTuple):
    """A worker that was killed.

    Attributes:
        seconds: When, from the beginning of the run.
        unit: What it was filling: folder of the cell, and the shard if it was at one.
        done: How many cells were done by then.
    """

    seconds: float
    unit: str
    done: int


def kill_workers(
    process: Process, out: Path, moments: list[float], chance: random.Random
) -> tuple[list[Kill], list[str]]:
    """Kill a random worker of a run at each moment, and wait for the run to end by itself.

    A moment at which nothing is being filled is put off until something is. No process is killed
    twice: it may take a while to be gone.

    Args:
        process: The run.
        out: Its folder.
        moments: Seconds from its beginning, in order.
        chance: Chooses the worker.

    Returns:
        The kills, and the cells that were done before one of them and are not the same any more.

    Raises:
        RuntimeError: If the run fails.
    """
    begin, due = time.monotonic(), list(moments)
    kills: list[Kill] = []
    done: dict[str, tuple[int, int]] = {}
    dead: set[int] = set()
    while process.poll() is None:
        now = time.monotonic() - begin
        if now > MOST_S:
            process.kill()
        held = sorted(one for one in _held(out, process.pid) if one[0] not in dead)
        if due and now >= due[0] and held:
            number, unit = chance.choice(held)
            dead.add(number)
            done |= _done(out)
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
                kills.append(Kill(round(now, 2), unit, len(_done(out))))
            due.pop(0)
        time.sleep(PAUSE_S)
    check(process)
    after = _done(out)
    return kills, sorted(name for name, facts in done.items() if after.get(name) != facts)


def _held(out: Path, run: int) -> Iterator[tuple[int, str]]:
    """Yield number of the process, and what it fills, of every lock that a worker here holds."""
    locks: list[Path] = []
    with suppress(FileNotFoundError):  # a folder that goes while it is looked through
        locks += [*out.glob("work/*/*/cell.lock"), *out.glob("work/*/*/**/shard-*.lock")]
    for lock in locks:
        told = re.fullmatch(r"process (\d+) on (.+)", holder(lock) or "")
        if told and told[2] == socket.gethostname() and int(told[1]) != run:
            yield int(told[1]), lock.relative_to(out / "work").as_posix().removesuffix("/cell.lock")


def _done(out: Path) -> dict[str, tuple[int, int]]:
    """Return which file the seal of every cell that is done is, and when it was written."""
    found = {}
    for seal in out.glob(f"*/*@??????????/{SEAL}"):
        with suppress(OSError):
            facts = seal.stat()
            found[seal.parent.relative_to(out).as_posix()] = facts.st_ino, facts.st_mtime_ns
    return found
