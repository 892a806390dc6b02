"""How stages let the base write: in parts that are committed, with what is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfmoe.models.generation import Progress, Tell

PART = 96
"""Texts a part, at the most: what killed work has to write again."""


def telling(update: Callable[..., None], done: float, total: int, share: float = 1.0) -> Tell:
    """Return what shows how far a part is, as ``update(done, total, text)``.

    Args:
        update: Shows it.
        done: What was done before this part.
        total: What there is to do in all.
        share: How much of what is written counts, in 0..1.
    """

    def tell(now: Progress) -> None:
        update(min(total, int(done + share * now.done)), total, f"{now.rate:.0f} tokens/s")

    return tell
