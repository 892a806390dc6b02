"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from statistics import fmean

COLLAPSED = 0.95
"""Share of the weight on every benchmark above which one expert has taken over a router, 0..1."""


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent, without the sign: ``0.625`` is ``62.5``."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def score_text(value: float | None, lenient: float | None, half: float | None = None) -> str:
    """Return a strict share in percent, half its interval and the lenient share where known.

    ``0.625`` with half an interval of ``0.08`` and ``0.7`` leniently is ``62.5 ±8 (70)``.
    """
    if value is None:
        return "–"
    spread = "" if half is None else f" ±{percent(half, 0)}"
    return f"{percent(value)}{spread}" + ("" if lenient is None else f" ({percent(lenient, 0)})")


def change(value: float | None) -> str:
    """Return a difference of two shares in points, with its sign, as terminals show it."""
    return "–" if value is None else f"{100 * value:+.1f}"


def points(value: float | None, base: float | None) -> str:
    """Return a difference of two shares in points, with its sign, as pages show it."""
    if value is None or base is None:
        return "–"
    return change(value - base).replace("-", "−")


def margin(low: float | None, high: float | None) -> str:
    """Return half an interval of shares in percent, as it follows a number; empty without one."""
    return "" if low is None or high is None else f" ±{percent((high - low) / 2)}"


def p_value(value: float | None) -> str:
    """Return a p in 0..1: ``0.012``, ``< 0.001``."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_clause(value: float | None) -> str:
    """Return a p as part of a sentence: ``p = 0.012``; without one there was no spread."""
    if value is None:
        return "no spread"
    return f"p {p_value(value)}" if value < 0.001 else f"p = {p_value(value)}"


def count(value: float | None) -> str:
    """Return a number with its thousands set apart by thin spaces."""
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits after the point."""
    return "–" if value is None else f"{value:.{digits}f}"


def position(value: float) -> str:
    """Return a share as a length that CSS and SVG understand, such as ``62.5%``."""
    return f"{100 * min(1.0, max(0.0, value)):.2f}%"


def whole_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of numbers; ``None`` if there are none, or one of them is missing."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


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


def collapsed(shares: Mapping[str, Mapping[str, float]]) -> str | None:
    """Return the expert that gets nearly all weight on every benchmark, if there is one.

    Args:
        shares: ``benchmark -> expert -> share``, 0..1, the experts always the same.
    """
    rows = list(shares.values())
    for expert in rows[0] if rows and len(rows[0]) > 1 else ():
        if all(row[expert] > COLLAPSED for row in rows):
            return expert
    return None
