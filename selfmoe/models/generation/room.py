"""How many rows run at once: as many as there is memory for, and as pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil
import torch

from selfmoe.models.generation.records import Row

_PART = 0.5
"""Part of the free memory that rows may take."""
_MOST = {"cpu": 96}
"""Rows from which on more of them are no faster; on other devices 256."""


def rows_at_once(model: Any, rows: Sequence[Row], max_new_tokens: int) -> int:
    """Return how many rows run at once, at least 1.

    Args:
        model: The model.
        rows: All that will run.
        max_new_tokens: Longest continuation.
    """
    if getattr(model, "config", None) is None:
        return len(rows)
    longest = max(len(row.prompt) for row in rows) + max_new_tokens
    room = int(_PART * _free(model.device)) // _bytes(model, longest)
    return max(1, min(room, _MOST.get(model.device.type, 256), len(rows)))


def _free(device: torch.device) -> int:
    """Return the free memory of a device, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _bytes(model: Any, tokens: int) -> int:
    """Return about how much memory a row of so many tokens takes: keys, values and logits."""
    config = model.config.get_text_config()
    size = torch.empty((), dtype=model.dtype).element_size()
    cache = 2 * size * tokens * sum(map(_width, config.per_layer_config))
    return int(cache + 3 * 4 * config.vocab_size)


def _width(layer: Any) -> int:
    """Return how many numbers a layer's keys have, at least about; ``layer`` is its settings."""
    heads = getattr(layer, "num_attention_heads", None) or 1
    width = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    return int(width) * int(getattr(layer, "num_key_value_heads", None) or heads)
