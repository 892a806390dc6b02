"""How likely the tokens of a prompt are, which clients ask to score options by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from selfmoe.models.generation.continuous import About
from selfmoe.models.generation.records import Likely
from selfmoe.outward.serve.asked import Asked

_AT_ONCE = 256
"""Places whose probabilities are computed at once: each takes a vocabulary's worth of memory."""


def score(model: Any, about: About, row: Asked) -> list[Likely]:
    """Return how likely each token of a prompt is after those before it, but for the first.

    Args:
        model: A causal language model, maybe with a mixture on it.
        about: Tells the mixture whose tokens these are.
        row: The row.
    """
    ids = torch.tensor([row.prompt], device=model.device)
    mask = torch.ones_like(ids)
    with torch.inference_mode(), about([row], None):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, :-1]
    found: list[Likely] = []
    for start in range(0, len(logits), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found += _likely(logits[part], ids[0, 1:][part], row.tops or 0)
    return found


def _likely(logits: Tensor, ids: Tensor, tops: int) -> list[Likely]:
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(-1, ids[:, None])[:, 0].tolist()
    best = logprobs.topk(tops)
    pairs = zip(own, best.indices.tolist(), best.values.tolist(), strict=True)
    return [Likely(mine, tuple(zip(i, v, strict=True))) for mine, i, v in pairs]
