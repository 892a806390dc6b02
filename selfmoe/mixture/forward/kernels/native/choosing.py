"""The k largest of a softmax in one call, or a few: the gate of a few tokens is all overhead."""

from __future__ import annotations

from torch import (
    Tensor,
    addcmul,
    float32,
    is_autocast_enabled,
    is_grad_enabled,
    mm,
    softmax,
    tensor,
)
from torch.compiler import is_compiling
from torch.linalg import vector_norm

from selfmoe.mixture.forward.kernels.native.library import native
from selfmoe.models.watched import watched

FEW = 64
"""Tokens up to which one call costs less than several operations."""
_LEAST = tensor(1e-6, dtype=float32, device="cpu")
"""What is added to a mean square."""


def largest(theta: Tensor, x: Tensor, k: int, temperature: float, *, one: bool) -> Tensor | None:
    """Return ``keep_k(softmax(θ x̂ / temperature))``, x̂ being x at unit mean square.

    Args:
        theta: Shape ``(n_experts, width)``.
        x: Shape ``(..., width)``.
        k: How many probabilities stay; of two alike the operator takes the first.
        temperature: Above 0.
        one: Scale what stays to sum 1.

    Returns:
        Float32, shape ``(..., n_experts)``; ``None`` for what this is not for: gradients,
        ``torch.compile``, autocast, many tokens, other devices and formats.
    """
    n, width = theta.shape
    if x.numel() > FEW * width or is_grad_enabled() or is_compiling() or watched():
        return None
    if is_autocast_enabled("cpu") or not _plain(theta) or not _plain(x):
        return None
    library = native().library
    if library is None:
        return _by_torch(theta, x, k, temperature, one=one)
    out = x.new_empty(*x.shape[:-1], n)
    addresses = x.data_ptr(), theta.data_ptr(), out.data_ptr()
    tokens = x.numel() // width
    library.selfmoe_choose(*addresses, tokens, n, width, min(k, n), temperature, one)
    return out


def _by_torch(theta: Tensor, x: Tensor, k: int, temperature: float, *, one: bool) -> Tensor:
    """Return the same where the operator is not there, by as few of torch's as it takes."""
    n, width = theta.shape
    rows = x.view(-1, width)
    size = vector_norm(rows, dim=-1, keepdim=True)
    logits = mm(rows, theta.t()).mul_(addcmul(_LEAST, size, size, value=1 / width).rsqrt_())
    shares = softmax(logits if temperature == 1 else logits.div_(temperature), -1)
    if k < n:
        some = shares.max(-1, True) if k == 1 else shares.topk(k, -1)
        shares.zero_().scatter_(-1, some.indices, some.values)
    if one:
        shares.div_(shares.sum(-1, keepdim=True).clamp_(min=1e-30))
    return shares.view(*x.shape[:-1], n)


def _plain(tensor: Tensor) -> bool:
    return tensor.dtype == float32 and tensor.is_cpu and tensor.is_contiguous()
