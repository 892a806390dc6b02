"""Solved examples in prompts: which ones, and as many as the context has room for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from selfmoe.contracts.records import Seed
from selfmoe.models.tokens import prompt_ids

Row = dict[str, Any]
Piece = TypeVar("Piece")


def pick(seeds: Sequence[Seed], n: int, seed: int) -> list[Seed]:
    """Return ``n`` different seeds (all, if there are fewer), in random order."""
    return random.Random(seed).sample(seeds, min(n, len(seeds)))


def fit(
    prompt: Callable[[Sequence[Piece]], str], pieces: Sequence[Piece], tokenizer: Any, room: int
) -> tuple[str | None, int]:
    """Return the prompt with as many of the pieces as fit, and how many those are.

    Args:
        prompt: Writes the prompt with the given pieces.
        pieces: What the task stands behind, such as solved examples; the last go first.
        tokenizer: Counts.
        room: Longest prompt, in tokens.

    Returns:
        ``None`` for the prompt if it does not fit even without any.
    """
    for used in range(len(pieces), -1, -1):
        text = prompt(pieces[:used])
        if len(prompt_ids(tokenizer, text)) <= room:
            return text, used
    return None, 0
