"""What a check of ``selfmoe doctor`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        found: What is there.
        state: ``ok``, ``note`` or ``problem``.
        advice: What to do; empty if nothing.
    """

    check: str
    found: str
    state: Literal["ok", "note", "problem"] = "ok"
    advice: str = ""
