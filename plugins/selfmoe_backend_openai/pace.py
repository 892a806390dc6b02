"""How many texts are asked for at once: more while all goes well, half as many when it does not."""

from __future__ import annotations

from anyio import CapacityLimiter

FIRST = 8
"""Texts at once at the beginning."""


class Pace:
    """Additive increase and multiplicative decrease, doubling until the first refusal.

    Args:
        most: Most texts at once.

    Attributes:
        level: Texts at once, now.
    """

    def __init__(self, most: int) -> None:
        self._most, self.level, self._refused = most, float(min(FIRST, most)), False
        self._since = 0
        self._limiter: CapacityLimiter | None = None

    def limiter(self) -> CapacityLimiter:
        """Return what holds back those beyond the number, for the event loop that runs."""
        self._limiter = CapacityLimiter(int(self.level))
        return self._limiter

    def went(self) -> None:
        """Take note of an answer."""
        self._to(min(self._most, self.level + (1 / self.level if self._refused else 1)))

    def refused(self) -> None:
        """Take note of a refusal; those of texts that were asked for together count once."""
        if not self._refused or self._since >= self.level:
            self._to(max(1.0, self.level / 2))
            self._since = 0
        self._refused = True

    def _to(self, level: float) -> None:
        self.level, self._since = level, self._since + 1
        if self._limiter is not None:
            self._limiter.total_tokens = int(level)
