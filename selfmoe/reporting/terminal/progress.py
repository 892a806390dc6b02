"""Telling the user what is going on: bars with ETA in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WIDTH = 140
"""Columns of a table that goes to a file or a pipe."""


def output() -> Console:
    """Return the console for results: standard output, as wide as the terminal, if it is one."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


_SOON_S = 5.0
"""Seconds until the first plain line."""

Update = Callable[..., None]
"""Called as ``update(done, total, text)``; ``text`` may be left out."""


class Display:
    """Shows long work.

    Args:
        console: Where to write; standard error by default, so that results stay clean.
        interval_s: Seconds between plain lines where there is no terminal.
    """

    def __init__(self, console: Console | None = None, interval_s: float = 30.0) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._interval = interval_s

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print one line that must not be overlooked."""
        self.console.print(f"Warning: {text}", markup=False, style="yellow")

    @contextlib.contextmanager
    def work(self, title: str) -> Iterator[Update]:
        """Show a piece of work while it lasts; yields the function to report progress to."""
        if self.console.is_terminal:
            with self._bar(title) as update:
                yield update
        else:
            yield self._lines(title)

    @contextlib.contextmanager
    def _bar(self, title: str) -> Iterator[Update]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None, text="")

            def update(done: int, total: int, text: str = "") -> None:
                progress.update(task, completed=done, total=total, text=text)

            yield update

    def _lines(self, title: str) -> Update:
        due = time.monotonic() + min(_SOON_S, self._interval)
        first: tuple[float, int] | None = None  # a part may have been done in an earlier run

        def update(done: int, total: int, text: str = "") -> None:
            nonlocal due, first
            now = time.monotonic()
            start, before = first = first or (now, done)
            if now >= due and done < total:
                due = now + self._interval
                left = (now - start) * (total - done) / (done - before) if done > before else None
                shown = "" if left is None else f", {_clock(left)} left"
                self.say(f"  {title}: {done}/{total}{shown} {text}".rstrip())

        return update


def _clock(seconds: float) -> str:
    """Return a duration as people say it: ``45 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def duration(seconds: float) -> str:
    """Return a measured time: ``0.4 s``, ``45 s``, ``3 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
