"""Work in batches, each committed as it is done, so that a kill loses one batch at the most."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from selfmoe.errors import DataError
from selfmoe.files import read_jsonl, write_jsonl
from selfmoe.records import Seed
from selfmoe.tokens import prompt_ids

Row = dict[str, Any]
Piece = TypeVar("Piece")


def batch(work: Path, index: int, make: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return the rows of a batch: from disk if they are there, else made and committed."""
    path = work / f"batch-{index:05d}.jsonl"
    if path.exists():
        try:
            return read_jsonl(path)
        except DataError:
            path.unlink()
    write_jsonl(path, make())
    return read_jsonl(path)


def read_seeds(folder: Path) -> list[Seed]:
    """Return the seeds in a folder."""
    return [Seed(**row) for row in read_jsonl(folder / "seeds.jsonl")]


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
