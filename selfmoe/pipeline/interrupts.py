"""Ctrl-C, remembered: code that it is raised through may turn it into an error of another kind."""

from __future__ import annotations

import signal
from types import FrameType

SAID = "\nInterrupted; the same command goes on from here."
"""What a command says when it was interrupted."""

_seen = False


def watch() -> None:
    """Remember from now on that Ctrl-C was pressed; it raises ``KeyboardInterrupt`` as ever."""
    global _seen
    _seen = False
    signal.signal(signal.SIGINT, _interrupted)


def interrupted() -> bool:
    """Return whether Ctrl-C was pressed since ``watch``."""
    return _seen


def _interrupted(number: int, frame: FrameType | None) -> None:
    global _seen
    _seen = True
    raise KeyboardInterrupt
