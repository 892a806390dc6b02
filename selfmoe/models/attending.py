"""Forwards of a model without gradients that attend as fast as the processor lets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from selfmoe.models import attention
from selfmoe.models.processor import bfloat16_instructions, wide_beyond_mkl

_X86 = ("amx_bf16", "avx512_bf16")


class Attending:
    """Lets a model attend in the faster way, as long as it is entered.

    Sums are made in another order, so results differ in their last bits.

    Args:
        model: Anything; nothing changes for what is no module, and where no other way is faster.
    """

    def __init__(self, model: object) -> None:
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        self._configs = _attending(model, modules)

    def __enter__(self) -> None:
        """Begin."""
        for config in self._configs:
            config._attn_implementation = attention.NAME

    def __exit__(self, *_: object) -> None:
        """End; also for whoever else has entered with the same model."""
        for config in self._configs:
            config._attn_implementation = "sdpa"


def _attending(model: Any, modules: Sequence[nn.Module]) -> list[Any]:
    """Return the settings by which modules attend, where they may attend in another way."""
    if not getattr(model, "_supports_attention_backend", False) or not _multiplies_fast(model):
        return []
    found = {id(config): config for one in modules if (config := getattr(one, "config", None))}
    ways = ("sdpa", attention.NAME)
    return [one for one in found.values() if getattr(one, "_attn_implementation", None) in ways]


def _multiplies_fast(model: Any) -> bool:
    if model.device.type != "cpu":
        return False
    if model.dtype is torch.float32:
        return wide_beyond_mkl()
    return model.dtype is torch.bfloat16 and bfloat16_instructions() in _X86
