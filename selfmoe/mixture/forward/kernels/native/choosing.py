"""The k largest of a softmax in one call: the gate of a few tokens is all overhead."""

from __future__ import annotations

from torch import Tensor, float32, is_autocast_enabled, is_grad_enabled
from torch.compiler import is_compiling

from selfmoe.mixture.forward.kernels.native.library import native
from selfmoe.models.watched import watched

FEW = 64
"""Tokens up to which one call costs less than several operations."""


def largest(theta: Tensor, x: Tensor, k: int, temperature: float, *, one: bool) -> Tensor | None:
    """Return ``keep_k(softmax(θ x̂ / temperature))``, x̂ being x at unit mean square.

    Args:
        theta: Shape ``(n_experts, width)``.
        x: Shape ``(..., width)``.
        k: How many probabilities stay; of two alike the first is larger.
        temperature: Above 0.
        one: Scale what stays to sum 1.

    Returns:
        Float32, shape ``(..., n_experts)``; ``None`` where the operator is not there or not for
        this: for gradients, ``torch.compile``, autocast, many tokens, other devices and formats.
    """
    n, width = theta.shape
    if x.numel() > FEW * width or is_grad_enabled() or is_compiling() or watched():
        return None
    if is_autocast_enabled("cpu") or not _plain(theta) or not _plain(x):
        return None
    library = native().library
    if library is None:
        return None
    out = x.new_empty(*x.shape[:-1], n)
    call = library.selfmoe_choose
    tokens = x.numel() // width
    addresses = x.data_ptr(), theta.data_ptr(), out.data_ptr()
    call(*addresses, tokens, n, width, min(k, n), temperature, one)
    return out


def _plain(tensor: Tensor) -> bool:
    return tensor.dtype == float32 and tensor.is_cpu and tensor.is_contiguous()
