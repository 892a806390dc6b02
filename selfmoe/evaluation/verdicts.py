"""What a contrast says of a claim that one side lies above the other."""

from __future__ import annotations

from typing import Literal

from selfmoe.evaluation.contrasts import Contrast

Verdict = Literal["holds", "fails", "undecided", "not testable"]
"""``holds`` and ``fails`` are beyond chance, ``undecided`` is not; else there is no contrast."""

VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "undecided", "not testable")


def corrected(confidence: float, claims: int) -> float:
    """Return the level at which each of several intervals is, so that all cover (Bonferroni).

    Args:
        confidence: How sure all of them together shall be, 0..1.
        claims: How many there are.
    """
    return 1 - (1 - confidence) / max(1, claims)


def verdict(found: Contrast, margin: float, level: float) -> Verdict:
    """Return what a contrast says of the claim that its difference is above a margin.

    The whole interval must lie on one side of the margin, and p must be as small.

    Args:
        found: The contrast, its interval and p at that margin.
        margin: What the difference must exceed; below 0, the one side may be worse by as much.
        level: The level of the interval, 0..1.
    """
    if found.p > 1 - level:
        return "undecided"
    if found.low > margin:
        return "holds"
    return "fails" if found.high < margin else "undecided"
