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
from selfmoe.models.tokens import check_known, prompt_ids, text_ids


@dataclass(frozen=True)
class Encoded:
    """One example as token ids; the first ``prompt`` of them are the prompt."""

    ids: list[int]
    prompt: int
    domain: str


def encode(example: Example, tokenizer: Any) -> Encoded:
    """Return an example as the tokens of its Alpaca prompt, its response and end-of-text.

    Prompt and response are encoded apart, so that training and inference see the same prompt.
    """
    prompt = prompt_ids(tokenizer, alpaca(Instruction(example.instruction, example.input)))
    response = text_ids(tokenizer, example.response)
    return Encoded([*prompt, *response, tokenizer.eos_token_id], len(prompt), example.domain)


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


def collate(rows: Sequence[Encoded], pad: int, device: torch.device) -> Batch:
    """Return the rows as one batch, padded on the right with token ``pad``."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    prompt = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        mask[index, : len(row.ids)] = 1
        prompt[index, : row.prompt] = True
    labels = ids.masked_fill(prompt | (mask == 0), IGNORE)
    domains = tuple(row.domain for row in rows)
    return Batch(ids.to(device), mask.to(device), labels.to(device), prompt.to(device), domains)
