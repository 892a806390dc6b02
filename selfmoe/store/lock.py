"""A lock that goes with the process that holds it, and a file that names this process."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from io import BufferedRandom, BufferedReader
from pathlib import Path

from selfmoe.contracts.errors import RunError

_TRIES, _PAUSE_S = 3, 0.05
"""How often, and how far apart, the lock is asked for: someone may only be asking who holds it."""

_LOCKED = 1
"""Bytes at the front of the file that Windows lets nobody else read while it is locked."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[str | None]:
    """Hold the lock on a file that is made if needed, and write down who does.

    Yields:
        ``None`` where the lock is held; else who holds it, as ``process 7 on host``.

    Raises:
        OSError: If the file cannot be written, or the system or file system has no locks.
    """
    if not path.exists():
        path.touch()
    with path.open("r+b") as file:
        if not (_take(file) and _lies_at(path, file)):
            yield _name(file)
            return
        name = f"process {os.getpid()} on {socket.gethostname()}\n"
        file.write(b"\n" * _LOCKED + name.encode())
        file.truncate()
        file.flush()
        yield None


@contextlib.contextmanager
def awaited(path: Path, seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock on a file, waiting for who else does; the file's folder is made if needed.

    Args:
        path: The file.
        seconds: How long it is waited for.

    Raises:
        RunError: If it is not free by then.
        OSError: As ``held`` does.
    """
    due = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # who was done has just removed the folder
                other = stack.enter_context(held(path))
                if other is None:
                    break
                stack.close()
                if time.monotonic() > due:
                    raise RunError(
                        f"{path.parent} is being filled by {other}\n"
                        "  Wait for it, or end it; then run the same command again."
                    )
            time.sleep(_PAUSE_S)
        yield


@contextlib.contextmanager
def removed(path: Path) -> Iterator[None]:
    """Remove the file of a lock that is held, in the end; who waits for it makes another one."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink(missing_ok=True)


def holder(path: Path) -> str | None:
    """Return who holds the lock on a file, as ``process 7 on host``; ``None`` if nobody does."""
    try:
        with path.open("rb") as file:
            return None if _take(file) else _name(file)
    except OSError:  # there is no such file, or no locks, so nobody holds one
        return None


def _take(file: BufferedRandom | BufferedReader) -> bool:
    """Lock a file until it is closed; return whether that was possible."""
    from filelock import lock_descriptor  # most commands need no lock, and it takes time to import

    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        if lock_descriptor(file.fileno(), blocking=False):
            return True
    return False


def _lies_at(path: Path, file: BufferedRandom) -> bool:
    """Return whether an open file has not been removed by who held it before."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _name(file: BufferedRandom | BufferedReader) -> str:
    """Return whom a locked file names."""
    file.seek(_LOCKED)
    return file.read().decode("utf-8", "replace").strip() or "another process"
