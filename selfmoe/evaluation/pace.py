"""How fast a benchmark is answered, told while it is."""

from __future__ import annotations

import time
from collections.abc import Callable

Tell = Callable[[int, int, str], None]
"""Called as ``tell(items done, items in all, words on the speed)``."""
Watch = Callable[[int, int, int], None]
"""Called as ``watch(done, total, tokens)`` while requests are answered, with the tokens so far."""


def unwatched(done: int, total: int, tokens: int) -> None:
    """Tell nobody."""


class Pace:
    """Tells how many items are answered, and how many tokens a second that takes.

    Args:
        items: How many there are.
        tell: Whom to tell, if anyone, with every batch.
    """

    def __init__(self, items: int, tell: Tell | None) -> None:
        self._items, self._begun = items, time.monotonic()
        self._tell = tell or (lambda done, total, speed: None)

    def within(self, start: int, items: int) -> Watch:
        """Return what watches some of the items while they are asked.

        Args:
            start: How many stand before them.
            items: How many they are; each may be several requests.
        """

        def watch(done: int, total: int, tokens: int) -> None:
            seconds = max(time.monotonic() - self._begun, 1e-3)
            speed = f"{tokens / seconds:.0f} tokens/s" if tokens else ""
            self._tell(start + items * done // max(total, 1), self._items, speed)

        self._tell(start, self._items, "")
        return watch
