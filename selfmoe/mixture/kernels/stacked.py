"""All experts at once: one product for the A side of a group, one for the B side of a layer.

With gradients for base, experts and gate alike plain autograd does it; where the experts are
frozen, as while a gate learns, ``frozen`` keeps less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import linear

from selfmoe.mixture.kernels import frozen
from selfmoe.mixture.kernels.weights import Weights

if TYPE_CHECKING:
    from selfmoe.mixture.layers import RoutedDelta
    from selfmoe.mixture.sharing import Group


def fits(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return True: it can do everything."""
    return True


def pays(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return True: it is the one where no other is."""
    return True


def down(group: Group, x: Tensor, weights: Weights) -> Sequence[Tensor]:
    """Return the weighted ``A_i x`` of all experts for each layer, shape ``(tokens, R)``."""
    a = group.a()
    a = a if a.dtype == x.dtype else a.to(x.dtype)
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        if group.learns() or torch.compiler.is_compiling():
            z = linear(x, a)
            rows = weights.alpha.index_select(1, group.owner()).to(z.dtype)
            return torch.split((_unit(z, rows) * rows.unsqueeze(1)).flatten(1), group.ranks, 1)
        owner = group.owner()
        rows = weights.rows(group.layout, owner, a.dtype)
        return frozen.down(x, weights.alpha, a, rows, owner, group.ranks)
    z = linear(x, a)
    rows = weights.rows(group.layout, group.owner(), z.dtype)
    _unit(z, rows).mul_(rows.unsqueeze(1))
    return (z,) if len(group.ranks) == 1 else torch.split(z, group.ranks, 1)


def up(part: RoutedDelta, piece: Tensor, x: Tensor, weights: Weights) -> Tensor:
    """Return the layer's output with the B side added."""
    return add(part.plain(x), piece, part)


def add(base: Tensor, z: Tensor, part: RoutedDelta) -> Tensor:
    """Return ``base + z B^T``, in place where nobody asks for gradients of what is overwritten.

    Args:
        base: ``W0 x``, shape ``(..., out)``.
        z: Shape ``(tokens, R)``.
        part: The layer's factors.
    """
    b = part.b
    if not b.dtype == z.dtype == base.dtype:
        b, z = b.to(base.dtype), z.to(base.dtype)
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        if part.learns() or torch.compiler.is_compiling():
            return torch.addmm(base.flatten(0, -2), z, b.t()).view_as(base)
        return frozen.up(base, z, b)
    base.view(-1, base.shape[-1]).addmm_(z, b.t())
    return base


def _unit(z: Tensor, rows: Tensor) -> Tensor:
    """Return z with the layers of the group apart where they share their weights' layout."""
    return z.view(z.shape[0], -1, rows.shape[1])
