"""Whether answers are equivalent, by computer algebra where there is any."""

from __future__ import annotations

from selfmoe.evaluation import mathverify
from selfmoe.evaluation.answers import same_math


def algebra_version() -> str | None:
    """Return the version of math-verify, or ``None`` without it; verdicts depend on it."""
    return mathverify.installed()


def equivalent_math(gold: str, answer: str) -> bool:
    """Return whether two answers in LaTeX are equivalent: by math-verify, or by their forms.

    Raises:
        StageError: If math-verify is there and cannot be started.
    """
    compare = mathverify.same if mathverify.installed() else same_math
    return compare(gold, answer)
