"""How stages let the base write: in parts that are committed, here or by a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfmoe.models.generation import Continuation, Progress, Tell
    from selfmoe.pipeline.session import Session

PART = 96
"""Texts a part, at the most, that are written here: what killed work has to write again."""


def part_of(session: Session, stage: str) -> int:
    """Return how many texts a part of a stage has at the most."""
    remote = session.remote(stage)
    return PART if remote is None else remote.writer.part


def write(
    session: Session, stage: str, prompts: Sequence[str], *, kept: Path, **how: Any
) -> list[Continuation]:
    """Return the plain base's continuations of prompts; see ``generation.generate``.

    Args:
        session: Has the base, and knows who writes with it.
        stage: The stage at work.
        prompts: Texts to continue.
        kept: Folder for what a backend writes, until the cell is done.
        how: What else there is to say of it.
    """
    from selfmoe.models.generation import generate

    remote, base = session.remote(stage), session.base
    if remote is not None:
        return remote.keeping(kept).generate(prompts, **how)
    return generate(base.model, base.tokenizer, prompts, **how)


def foresee_writing(stage: str, session: Session) -> None:
    """Let a backend that does not serve the base be refused before anything is done.

    Raises:
        StageError: If it cannot be reached, or does not have the base.
    """
    session.remote(stage)


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
