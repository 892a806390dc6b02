"""Many tokens and many experts: every expert computes only for the tokens that use it.

Tokens are sorted by expert once for all layers that the weights belong to, and gathered once for
those that read the same input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selfmoe.mixture.kernels.weights import Weights

if TYPE_CHECKING:
    from selfmoe.mixture.layers import RoutedDelta
    from selfmoe.mixture.sharing import Group

NARROW = 0.25
"""Cost of all experts relative to the layer itself from which on sorting can pay."""
SPARSE = 0.25
"""Part of the experts that tokens use at most."""
CROWD = 16
"""Tokens an expert has at least, on average."""


def fits(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return whether there is no gradient."""
    return not group.differentiates(x, weights)


def pays(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return whether the layers are narrow for so many experts, and tokens use few of these."""
    experts = weights.alpha.shape[1]
    if group.narrowness <= NARROW or weights.tokens < CROWD * experts or x.device.type != "cpu":
        return False
    return CROWD * experts <= weights.uses() <= SPARSE * experts * weights.tokens


def down(group: Group, x: Tensor, weights: Weights) -> Sequence[Tensor]:
    """Return the tokens sorted by expert, the same for each layer, shape ``(uses, in)``."""
    return (x.index_select(0, weights.order().tokens),) * len(group.parts)


def up(part: RoutedDelta, piece: Tensor, base: Tensor, weights: Weights) -> Tensor:
    """Return ``base`` with every expert's part added to the tokens that use it."""
    if torch.is_grad_enabled() and base.requires_grad:
        base = base.clone()
    out, order = base.view(-1, base.shape[-1]), weights.order()
    for expert, span in order.spans:
        if expert in part.spans:
            a, b = part.factors(expert, piece.dtype)
            z = (piece[span] @ a.t()).mul_(order.weights[span])
            out.index_add_(0, order.tokens[span], (z @ b.t()).to(out.dtype))
    return base
