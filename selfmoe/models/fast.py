"""Forwards of a model without gradients, as fast as the processor lets them be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from selfmoe.models import attention
from selfmoe.models.processor import bfloat16_instructions, left_to_onednn
from selfmoe.models.products import ByOneDNN

_X86 = ("amx_bf16", "avx512_bf16")


class Fast:
    """Lets a model use the faster ways to multiply and to attend, as long as it is entered.

    Sums are made in another order, so results differ in their last bits.

    Args:
        model: Anything; nothing changes for what is no module, and where no other way is faster.
    """

    def __init__(self, model: object) -> None:
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        self._linears = [one for one in modules if _by_onednn(one)] if left_to_onednn() else []
        self._configs = _attending(model, modules)

    def __enter__(self) -> None:
        """Begin."""
        for layer in self._linears:
            layer.__class__ = ByOneDNN
        for config in self._configs:
            config._attn_implementation = attention.NAME

    def __exit__(self, *_: object) -> None:
        """End; also for whoever else has entered with the same model."""
        for layer in self._linears:
            layer.__class__ = nn.Linear
        for config in self._configs:
            config._attn_implementation = "sdpa"


def _by_onednn(module: nn.Module) -> bool:
    """Return whether a module is a linear on the CPU with weights of float32, and no more."""
    if type(module) not in (nn.Linear, ByOneDNN):
        return False
    weight: Any = module.weight
    return weight.device.type == "cpu" and weight.dtype is torch.float32 and weight.is_contiguous()


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
        return left_to_onednn()
    return model.dtype is torch.bfloat16 and bfloat16_instructions() in _X86
