"""What gates share: inputs at unit size, logits of these, the k largest weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear


def at_unit_mean_square(x: Tensor) -> Tensor:
    """Return ``x / sqrt(mean x² + 1e-6)`` over the last dimension, in float32.

    Args:
        x: Shape ``(..., width)``.
    """
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def unit_logits(theta: Tensor, x: Tensor) -> Tensor:
    """Return ``theta x̂``, x̂ being x at unit mean square, float32, shape ``(..., n_experts)``.

    The few logits are scaled rather than the many features.

    Args:
        theta: Shape ``(n_experts, width)``.
        x: Shape ``(..., width)``.
    """
    x = x.float()
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale: Tensor = size.square().div_(x.shape[-1]).add_(1e-6).rsqrt_()
    return linear(x, theta.float()) * scale


def keep_largest(probabilities: Tensor, k: int, renormalise: bool = False) -> Tensor:
    """Return the probabilities with all but the k largest of each token set to 0.

    Args:
        probabilities: Shape ``(..., n_experts)``.
        k: How many stay; all, if there are no more.
        renormalise: Let what stays sum to 1.
    """
    kept = probabilities
    if k < probabilities.shape[-1]:
        # For one both do the same, and max costs less.
        some = probabilities.max(-1, True) if k == 1 else probabilities.topk(k, -1)
        kept = torch.zeros_like(probabilities).scatter_(-1, some.indices, some.values)
    return kept / kept.sum(-1, keepdim=True) if renormalise else kept
