"""How likely answers are after their prompts.

Each text is read once, however many answers it decides on, and so is what many texts begin with:
the solved examples of a benchmark, and the prompt of an item before each of its options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from selfmoe.evaluation.reading import NOTHING, Reader, Text
from selfmoe.models.generation.prefixes import Group, groups

_LEAST = 8
"""Tokens that texts must have in common to be read behind a prefix."""


class Answer(NamedTuple):
    """What follows a prompt, and how likely.

    Attributes:
        likelihood: Natural log of its probability.
        greedy: Whether each of its tokens is the likeliest one.
    """

    likelihood: float
    greedy: bool


def likelihoods(
    reader: Reader,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    context: int,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Return how likely each of some continuations is.

    Args:
        reader: Reads texts with the model.
        pairs: The tokens of a prompt and of what follows it; at least one of each.
        context: Tokens that the model reads at the most; longer prompts lose their front.
        batch_size: Texts a forward.
        progress: Told how many pairs are done, after every forward.

    Returns:
        One answer a pair.

    Raises:
        ValueError: If a pair has no prompt, no continuation, or one that fills the context alone.
    """
    tell = progress or (lambda done: None)
    asked: dict[Text, list[int]] = {}
    for number, (prompt, option) in enumerate(pairs):
        asked.setdefault(_text(prompt, option, context), []).append(number)
    found: dict[int, Answer] = {}
    for texts, read in _read(reader, list(asked), batch_size):
        for text, logits in zip(texts, read, strict=True):
            chances = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
            found |= {number: _answer(chances, pairs[number][1]) for number in asked[text]}
        tell(len(found))
    return [found[number] for number in range(len(pairs))]


def _text(prompt: Sequence[int], option: Sequence[int], context: int) -> Text:
    """Return what the model reads of a prompt and an option: no more than its context."""
    read = tuple((*prompt, *option)[-(context + 1) : -1])
    text = Text(read, len(read) + 1 - len(option))
    if not option or text.prompt < 1:
        raise ValueError(f"{len(prompt)} tokens and an option of {len(option)} in {context}")
    return text


def _read(
    reader: Reader, texts: Sequence[Text], batch_size: int
) -> Iterator[tuple[list[Text], list[Tensor]]]:
    """Yield texts in batches, with the logits at their places."""
    for group in _groups(reader, texts):
        members = sorted((texts[n] for n in group.rows), key=lambda text: -len(text.tokens))
        shared = members[0].tokens[: group.prefix]
        prefix = reader.begin(shared, len(members)) if shared else NOTHING
        for start in range(0, len(members), batch_size):
            batch = members[start : start + batch_size]
            yield batch, reader.logits(batch, prefix)


def _groups(reader: Reader, texts: Sequence[Text]) -> list[Group]:
    together = [Group(0, tuple(range(len(texts))))] if texts else []
    return groups([text.front for text in texts], _LEAST) if reader.shares else together


def _answer(chances: Tensor, option: Sequence[int]) -> Answer:
    """Return the answer that log-probabilities, shape ``(tokens, vocabulary)``, give to tokens."""
    tokens = torch.tensor(option, device=chances.device)
    likelihood = chances.gather(1, tokens[:, None]).sum()
    return Answer(float(likelihood), bool((chances.argmax(-1) == tokens).all()))
