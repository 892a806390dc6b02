"""Whether what was written answers as the system does: logits of prompts, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.errors import RunError
from selfmoe.models.products import hasten

PROMPTS = (
    "The sum of 12 and 30 is",
    "def add(a, b):\n    return",
    "Question: Which planet is the largest of the solar system?\nAnswer:",
)
NEW_TOKENS, LONGEST = 6, 48
TOLERANCE = 100
"""Largest difference of logits, relative to the largest logit, in units of the dtype's epsilon."""


@torch.no_grad()
def answers(model: Any, tokenizer: Any) -> list[Tensor]:
    """Return a model's logits on the prompts, alone, then padded, cached and continued.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer, padding on the left.

    Returns:
        One of shape ``(time, vocabulary)`` for each prompt, then one of shape ``(batch,
        vocabulary)`` for each token that follows.
    """
    hasten(model)  # as bases are that selfmoe loads: the same sums in the same order
    device = next(model.parameters()).device
    alone = [_encoded(tokenizer, [prompt]).to(device) for prompt in PROMPTS]
    found = [model(input_ids=row["input_ids"]).logits[0].float().cpu() for row in alone]
    return [*found, *(step.float().cpu() for step in _continued(model, tokenizer, device))]


def _encoded(tokenizer: Any, texts: list[str]) -> Any:
    return tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=LONGEST)


def _continued(model: Any, tokenizer: Any, device: torch.device) -> Sequence[Tensor]:
    batch = _encoded(tokenizer, list(PROMPTS)).to(device)
    told = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=False,
        num_beams=1,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    steps: Sequence[Tensor] = told.logits
    return steps


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest ``max|a - b| / max|b|`` of pairs of tensors of equal shapes."""
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )


def check(found: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype) -> float:
    """Refuse answers that are not those of the system.

    Args:
        found: Those of what was written, of the shapes that ``answers`` says.
        expected: Those of the system.
        dtype: What both compute in.

    Returns:
        How far they differ.

    Raises:
        RunError: If that is more than rounding.
    """
    apart, allowed = difference(found, expected), TOLERANCE * torch.finfo(dtype).eps
    if not apart <= allowed:
        raise RunError(
            f"what was exported does not answer as the system does: its logits differ by "
            f"{apart:.1e} of the largest, {allowed:.1e} is rounding\n  Nothing was left behind. "
            "--no-check exports it anyway; please report the base's model_type and the router."
        )
    return apart
