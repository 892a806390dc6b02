"""What is said about long work where there is no terminal."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from selfmoe.reporting.terminal import progress
from selfmoe.reporting.terminal.progress import Display


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that the clock shows, to be changed.

    It is that of the one module: servers of other tests, which may live in this process, would
    wait for hours by such a clock.
    """
    now = [1000.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.mark.parametrize("first", [1, 64, 128])
def test_time_left_is_that_of_what_was_done_here(clock: list[float], first: int) -> None:
    """In batches, from the start or resumed: what was there before says nothing about the pace."""
    stream = StringIO()
    with Display(Console(file=stream, width=100), interval_s=30).work("respond math") as update:
        clock[0] += 40
        update(first, 280)
        clock[0] += 40
        update(first + 64, 280)
        clock[0] += 1
        update(first + 65, 280)  # too soon for a line
        clock[0] += 40
        update(280, 280)
    one, two = stream.getvalue().splitlines()
    assert one.strip() == f"respond math: {first}/280"
    seconds = 40 * (280 - first - 64) / 64
    left = f"{seconds:.0f} s" if seconds < 90 else f"{round(seconds / 60)} min"
    assert two.strip() == f"respond math: {first + 64}/280, {left} left"
