"""As much of a prompt as a context has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from selfmoe.models.tokens import prompt_ids

Piece = TypeVar("Piece")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt cut to the context.

    Attributes:
        text: The whole text.
        used: Pieces, such as solved examples, that are in it.
        tokens: Its length, special tokens included.
        fits: Whether it leaves room for the answer; if not, even without pieces it is too long.
    """

    text: str
    used: int
    tokens: int
    fits: bool


def fit(
    write: Callable[[Sequence[Piece]], str],
    pieces: Sequence[Piece],
    count: Callable[[str], int],
    room: int,
) -> Prompt:
    """Return the prompt with as many of the pieces as fit.

    Args:
        write: Writes the prompt with the given pieces.
        pieces: What the task stands behind, such as solved examples; the last go first.
        count: Says how many tokens a text is, special tokens included.
        room: Longest prompt, in tokens.
    """
    for used in range(len(pieces), -1, -1):
        text = write(pieces[:used])
        tokens = count(text)
        if tokens <= room:
            return Prompt(text, used, tokens, fits=True)
    return Prompt(text, 0, tokens, fits=False)


def prompt_length(tokenizer: Any, text: str) -> int:
    """Return how many tokens a prompt is, special tokens included."""
    return len(prompt_ids(tokenizer, text))
