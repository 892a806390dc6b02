"""Examples as token ids, side by side in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import IGNORE, Batch
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Example, Instruction, LoadedBase
from selfmoe.models.tokens import answered_ids, check_known, first_tokens, prompt_ids, side_by_side

_AT_ONCE, _AT_ONCE_ON_CPUS = 16384, 2048
"""Tokens a forward pass, padding included, where no number of examples is given."""

_OPENING = 16
"""Tokens that tell whether texts begin with the same words."""


@dataclass(frozen=True)
class Encoded:
    """One example as token ids.

    Attributes:
        ids: Prompt, response and end-of-text.
        prompt: How many of them, from the first on, are the prompt.
        domain: Of the example.
    """

    ids: list[int]
    prompt: int
    domain: str


def encode(example: Example, tokenizer: Any) -> Encoded:
    """Return an example as the tokens of its Alpaca prompt, its response and end-of-text.

    The response is what the base would have to generate: the tokens that it wrote, where it did.
    """
    prompt = alpaca(Instruction(example.instruction, example.input))
    if example.tokens:
        before = prompt_ids(tokenizer, prompt)
        ids, start = [*before, *example.tokens], len(before)
    else:
        text = example.continuation or example.response
        ids, start = answered_ids(tokenizer, prompt, text)
    return Encoded([*ids, tokenizer.eos_token_id], start, example.domain)


def encode_all(examples: Sequence[Example], base: LoadedBase, label: str) -> list[Encoded]:
    """Return examples as token ids.

    Raises:
        StageError: If some are longer than the base's context; ``label`` says whose they are.
        DataError: If one holds a token that the base has no row for.
    """
    rows = [encode(example, base.tokenizer) for example in examples]
    for row, example in zip(rows, examples, strict=True):
        check_known(base.tokenizer, base.model, row.ids, f"{label}: example '{example.id}'")
    if long := sum(len(row.ids) > base.context for row in rows):
        raise StageError(
            f"{label}: {long} of {len(rows)} examples are longer than the base's "
            f"context of {base.context} tokens; the curate stage should have dropped them"
        )
    return rows


def parts_of(
    rows: Sequence[Encoded], size: int | None, device: torch.device, *, alike: bool = False
) -> list[list[Encoded]]:
    """Return the rows of a step in the parts that it is read in, those of like length together.

    Args:
        rows: The examples.
        size: How many of them a part has at most; default: as many as fit into some thousand
            tokens.
        device: Where they are read.
        alike: Let the rows of a part begin with the same words.
    """
    room = _AT_ONCE_ON_CPUS if device.type == "cpu" else _AT_ONCE
    groups: dict[tuple[int, ...], list[Encoded]] = {}
    for row in sorted(rows, key=lambda row: len(row.ids), reverse=True):
        groups.setdefault(tuple(row.ids[:_OPENING]) if alike else (), []).append(row)
    parts = []
    for left in groups.values():
        while left:
            count = size or max(1, room // len(left[0].ids))
            parts.append(left[:count])
            left = left[count:]
    return parts


def collate(rows: Sequence[Encoded], pad: int, device: torch.device) -> Batch:
    """Return the rows as one batch, padded on the right.

    Args:
        rows: The examples.
        pad: The token that pads.
        device: Where the tensors go.

    Returns:
        Tensors of shape ``(batch, time)``, ``time`` that of the longest row; prompt and padding
        carry no label.
    """
    ids, mask = side_by_side([row.ids for row in rows], pad, "right")
    prompt = first_tokens([row.prompt for row in rows], ids.shape[1])
    labels = ids.masked_fill(prompt | (mask == 0), IGNORE)
    domains = tuple(row.domain for row in rows)
    return Batch(ids.to(device), mask.to(device), labels.to(device), prompt.to(device), domains)
