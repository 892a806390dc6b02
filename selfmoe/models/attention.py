"""Attention on CPUs through products of matrices, where torch's own kernel leaves half the speed.

The same as ``sdpa`` of transformers but for rounding: softmax(q kᵀ · scale) v, each token seeing
itself and what comes before. Long prompts without padding, maybe behind what a cache holds, are
read in blocks of queries, which see the keys up to their own last one; those of heads that share
keys go together. All else, such as a step of decoding, is left to ``sdpa``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from selfmoe.models.products import by_onednn

NAME = "selfmoe_cpu"
"""What transformers calls it, in ``config._attn_implementation``."""

_SHORT, _BLOCK = 128, 256
"""Columns up to which torch's kernel is as fast; queries of a head at once, at most."""
_OTHERS = ("softcap", "s_aux", "position_bias", "cache")
"""Arguments of attention that change what is computed."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Return what queries find, as transformers' attention functions do.

    Args:
        module: The layer that asks.
        query: Shape ``(batch, heads, time, width)``.
        key: Shape ``(batch, key heads, columns, width)``.
        value: Shape ``(batch, key heads, columns, value width)``.
        attention_mask: True where a column is seen, shape ``(batch, 1, time, columns)``; without it
            the queries are the last columns, and each sees itself and those before.
        scaling: What products of queries and keys are multiplied by; default: width^-1/2.
        dropout: As in ``sdpa``, to which all but 0 is left.
        rest: What else the layer says.

    Returns:
        Shape ``(batch, time, heads, value width)``, and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    time, columns = query.shape[2], key.shape[2]
    long = attention_mask is None and time > 1 and columns > _SHORT
    if long and _is_plain(module, dropout, rest):
        grouped = (query * scale).reshape(len(query), key.shape[1], -1, time, query.shape[-1])
        return _causal(grouped, key, value).transpose(1, 2), None
    if attention_mask is None and 1 < time < columns and getattr(module, "is_causal", True):
        attention_mask = query.new_ones(time, columns, dtype=torch.bool).tril(columns - time)
    told = {"scaling": scaling, "dropout": dropout, **rest}
    found, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **told)
    return found, None


def mask(*args: Any, **told: Any) -> Tensor | None:
    """Return the mask that ``attend`` takes, from the arguments of transformers' ``sdpa_mask``.

    Returns:
        Shape ``(batch, 1, time, columns)``, or ``None`` if only later columns are hidden.
    """
    causal = told["mask_function"] is causal_mask_function and told.get("local_size") is None
    if causal and told["attention_mask"] is None and told["allow_is_causal_skip"]:
        return None
    found: Tensor | None = sdpa_mask(*args, **told)
    return found


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, mask)


def _is_plain(module: nn.Module, dropout: float, rest: Mapping[str, Any]) -> bool:
    causal = rest.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    others = any(rest.get(name) is not None for name in _OTHERS)
    return bool(causal) and not others and not dropout


def _causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return what the last columns find, shape ``(batch, heads, time, value width)``."""
    batch, heads, group, time, _ = query.shape
    found = query.new_empty(batch, heads, group, time, value.shape[-1])
    size = math.ceil(time / math.ceil(time / _BLOCK))
    later = query.new_full((size, size), -torch.inf).triu_(1)
    past = key.shape[2] - time
    for row in range(batch):
        for start in range(0, time, size):
            end = min(start + size, time)
            for head in range(heads):
                keys, values = key[row, head, : past + end], value[row, head, : past + end]
                block = query[row, head, :, start:end]
                found[row, head, :, start:end] = _block(block, keys, values, later)
    return found.flatten(1, 2)


def _block(query: Tensor, key: Tensor, value: Tensor, later: Tensor) -> Tensor:
    """Return what a block of queries finds, shape ``(group, time, value width)``.

    Args:
        query: Shape ``(group, time, width)``.
        key: Up to that of the last query, shape ``(columns, width)``.
        value: Likewise, shape ``(columns, value width)``.
        later: What hides later columns of a block.
    """
    group, time, width = query.shape
    scores = by_onednn(query.reshape(-1, width), key, None).view(group, time, -1)
    scores[..., -time:] += later[:time, :time]
    chances = scores.softmax(-1).view(group * time, -1)
    return by_onednn(chances, value.T, None).view(group, time, -1)
