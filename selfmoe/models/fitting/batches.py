"""Examples as token ids, side by side in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import IGNORE, Batch
from selfmoe.contracts.records import Example, LoadedBase, Template
from selfmoe.models.asking import learned_ids
from selfmoe.models.tokens import check_known, first_tokens, side_by_side

_AT_ONCE, _AT_ONCE_ON_CPUS = 16384, 4096
"""Tokens a forward pass, padding included, where no number of examples is given."""

_STATES_ON_CPUS = 2**25
"""Numbers that decoder blocks hand on in it, at the most; what they keep is some ten times that."""

_OPENING = 16
"""Tokens that tell whether texts begin with the same words."""


@dataclass(frozen=True)
class Encoded:
    """One example as token ids.

    Attributes:
        ids: Prompt, response and what ends it.
        prompt: How many of them, from the first on, are the prompt.
        domain: Of the example.
        row: Its place among the examples that are fitted to.
    """

    ids: list[int]
    prompt: int
    domain: str
    row: int = 0


def encode(example: Example, tokenizer: Any, template: Template = "alpaca") -> Encoded:
    """Return an example as the tokens of its prompt, its response and what ends that.

    Args:
        example: The example.
        tokenizer: Whose tokens.
        template: How its task is put.

    Raises:
        DataError: If the base's chat template is asked for and there is none, or it refuses.
    """
    ids, start = learned_ids(example, tokenizer, template)
    return Encoded(ids, start, example.domain)


def encode_all(
    examples: Sequence[Example],
    base: LoadedBase,
    label: str,
    places: Sequence[int] | None = None,
) -> list[Encoded]:
    """Return examples as token ids.

    Args:
        examples: The examples.
        base: Whose tokens.
        label: Whose examples they are, for errors.
        places: Of each among the examples that are fitted to; default: as they stand here.

    Raises:
        StageError: If some are longer than the base's context.
        DataError: If one holds a token that the base has no row for.
    """
    rows = [
        replace(encode(example, base.tokenizer, base.template), row=place)
        for place, example in zip(places or range(len(examples)), examples, strict=True)
    ]
    for row, example in zip(rows, examples, strict=True):
        check_known(base.tokenizer, base.model, row.ids, f"{label}: example '{example.id}'")
    if long := sum(len(row.ids) > base.context for row in rows):
        raise StageError(
            f"{label}: {long} of {len(rows)} examples are longer than the base's "
            f"context of {base.context} tokens; the curate stage should have dropped them"
        )
    return rows


def parts_of(
    rows: Sequence[Encoded],
    size: int | None,
    device: torch.device,
    *,
    alike: bool = False,
    states: int = 1,
) -> list[list[Encoded]]:
    """Return the rows of a step in the parts that it is read in, those of like length together.

    Args:
        rows: The examples.
        size: How many of them a part has at most; default: as many as fit into some thousand
            tokens.
        device: Where they are read.
        alike: Let the rows of a part begin with the same words.
        states: Numbers that the decoder blocks hand on for a token, where all are kept.
    """
    room = min(_AT_ONCE_ON_CPUS, _STATES_ON_CPUS // states) if device.type == "cpu" else _AT_ONCE
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
    places = tuple(row.row for row in rows)
    ids, mask, labels, prompt = (one.to(device) for one in (ids, mask, labels, prompt))
    return Batch(ids, mask, labels, prompt, domains, places)
