"""Equivalence by computer algebra: math-verify (the extra ``selfmoe[math]``) in its own process.

math-verify limits its time with ``signal.alarm``, which works in a main thread only, and sympy can
take any time and memory on what a model writes. So one worker process answers all questions, with
limits of its own; when it takes too long it is ended, and the next question starts another.

Only its LaTeX parser is used: the other one hands text to Python's ``eval``.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import IO

from selfmoe.contracts.errors import StageError
from selfmoe.evaluation.answers.forms import same_math
from selfmoe.evaluation.answers.plain import algebraic

TIMEOUT_S = 10.0
"""Longest time for one comparison; after it, answers count as different."""

_START_S = 120.0
_MEMORY = 4 << 30  # bytes of address space; sympy alone takes a fraction of it
_LONGEST = 1000  # characters; no answer of a benchmark is as long
_DIGITS = 12  # decimals in which values agree that are no exact numbers
_READY, _SAME, _OTHER = b"r", b"1", b"0"


def installed() -> str | None:
    """Return the version of math-verify, or ``None`` without it."""
    try:
        return version("math-verify")
    except PackageNotFoundError:
        return None


def same(gold: str, answer: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Return whether two answers in LaTeX are equivalent; may be called from any thread.

    math-verify is asked about expressions only: it takes tuples for sets, ``344_5`` for 344 and
    ``12:30`` for a quotient, and some of its verdicts depend on the order. What an answer is, how
    many members it has and what its numbers are worth is decided by ``same_math``. What cannot be
    read, takes too long or is longer than any answer is not equivalent.

    Raises:
        StageError: If math-verify cannot be started.
    """
    if max(len(gold), len(answer)) > _LONGEST:
        return False

    def equal(one: str, other: str) -> bool:
        first, second = sorted([one, other])  # its verdicts may depend on the order
        return algebraic(one, other) and _worker.ask(first, second, timeout_s)

    return same_math(gold, answer, equal)


class Worker:
    """A process that compares answers, started when it is first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, gold: str, answer: str, timeout_s: float) -> bool:
        """Return whether two answers are equivalent."""
        question = json.dumps([gold, answer]).encode() + b"\n"
        with self._lock:
            try:
                process = self._running()
                _pipe(process.stdin).write(question)
                reply = _reply(process, timeout_s)
            except OSError:
                reply = b""
            if reply not in (_SAME, _OTHER):
                self._end()
            return reply == _SAME

    def end(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "selfmoe.evaluation.mathverify"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            if _reply(self._process, _START_S) != _READY:
                self._end()
                raise StageError(
                    "math-verify is installed but does not start\n"
                    "  See why: python -m selfmoe.evaluation.mathverify; or uninstall it."
                )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            _pipe(self._process.stdin).close()
            _pipe(self._process.stdout).close()
        self._process = None


_worker = Worker()
atexit.register(_worker.end)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with pipes"
    return stream


def _reply(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """Return the one byte of a reply; empty if it takes too long or the process died."""
    handle = _pipe(process.stdout).fileno()
    ready, _, _ = select.select([handle], [], [], timeout_s)
    return os.read(handle, 1) if ready else b""


def _serve() -> None:
    """Answer questions until there are no more: what the worker process does."""
    import resource

    replies = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no reply
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig()]
    os.write(replies, _READY)
    for line in sys.stdin.buffer:
        try:
            gold, answer = (
                parse(f"${text}$", extraction_config=config, fallback_mode="no_fallback")
                for text in json.loads(line)
            )
            found = bool(gold and answer) and verify(gold, answer, float_rounding=_DIGITS)
        except Exception:  # sympy raises whatever it likes on what it cannot read
            found = False
        os.write(replies, _SAME if found else _OTHER)


if __name__ == "__main__":
    _serve()
