"""TIES on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def trim(delta: Tensor, density: float) -> Tensor:
    """Return a tensor, of any shape, with all but its ``density * size`` largest entries zero.

    One entry stays at least.
    """
    keep = max(1, int(density * delta.numel()))
    flat = delta.flatten()
    chosen = flat.abs().topk(keep, sorted=False).indices
    return torch.zeros_like(flat).index_copy(0, chosen, flat[chosen]).view_as(delta)


def ties(deltas: Sequence[Tensor], density: float) -> Tensor:
    """Return trim, elect sign and disjoint mean of tensors of one shape.

    An entry's sign is that of the sum of its trimmed values (a sum of zero counts as positive);
    the result is the mean of the trimmed values that are not zero and have it.
    """
    trimmed = torch.stack([trim(delta, density) for delta in deltas])
    elected = torch.where(trimmed.sum(0) >= 0, 1.0, -1.0)
    agrees = trimmed * elected > 0
    return (trimmed * agrees).sum(0) / agrees.sum(0).clamp(min=1)
