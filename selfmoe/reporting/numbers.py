"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent, without the sign: ``0.625`` is ``62.5``."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def points(value: float | None, base: float | None) -> str:
    """Return a difference of two shares in points, with its sign."""
    if value is None or base is None:
        return "–"
    return f"{100 * (value - base):+.1f}".replace("-", "−")


def count(value: float | None) -> str:
    """Return a number with its thousands set apart by thin spaces."""
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits after the point."""
    return "–" if value is None else f"{value:.{digits}f}"


def position(value: float) -> str:
    """Return a share as a length that CSS and SVG understand, such as ``62.5%``."""
    return f"{100 * min(1.0, max(0.0, value)):.2f}%"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def balance(shares: Sequence[float]) -> float:
    """Return the entropy of shares over its maximum: 1 all alike, 0 one takes all."""
    total = sum(shares)
    if len(shares) < 2 or not total:
        return 0.0
    parts = [share / total for share in shares if share > 0]
    return -sum(part * log(part) for part in parts) / log(len(shares))
