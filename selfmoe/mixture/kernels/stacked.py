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


def fits(group: Group, weights: Weights) -> bool:
    """Return True: it can do everything."""
    return True


def pays(group: Group, weights: Weights) -> bool:
    """Return True: it is the one where no other is."""
    return True


def run(group: Group, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with the B side added."""
    flat, a = x.reshape(-1, x.shape[-1]), group.a()
    if a.dtype != x.dtype:
        a = a.to(x.dtype)
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        pieces = _weighted(group, flat, a, weights)
        return [added(part.plain(x), z, part) for part, z in zip(group.parts, pieces, strict=True)]
    z = linear(flat, a)
    rows = weights.rows(group.layout, group.owner, a.dtype)
    _unit(z, rows).mul_(rows)
    pieces = (z,) if len(group.ranks) == 1 else z.split_with_sizes(group.ranks, 1)
    return [_add(part.plain(x), z, part) for part, z in zip(group.parts, pieces, strict=True)]


def added(base: Tensor, z: Tensor, part: RoutedDelta) -> Tensor:
    """Return ``base + z B^T``, in place where nobody asks for gradients of what is overwritten.

    Args:
        base: ``W0 x``, shape ``(..., out)``.
        z: Shape ``(tokens, R)``.
        part: The layer's factors.
    """
    if not (torch.compiler.is_compiling() or torch.is_grad_enabled()):
        return _add(base, z, part)
    b, z = part.b.to(base.dtype), z.to(base.dtype)
    if torch.compiler.is_compiling() or part.learns():
        return torch.addmm(base.flatten(0, -2), z, b.t()).view_as(base)
    return frozen.up(base, z, b)


def _add(base: Tensor, z: Tensor, part: RoutedDelta) -> Tensor:
    b_t = part.views().b_t
    if not b_t.dtype == z.dtype == base.dtype:
        b_t, z = b_t.to(base.dtype), z.to(base.dtype)
    base.view(-1, base.shape[-1]).addmm_(z, b_t)
    return base


def _weighted(group: Group, x: Tensor, a: Tensor, weights: Weights) -> Sequence[Tensor]:
    """Return the weighted ``A_i x`` of all experts for each layer, shape ``(tokens, R)``."""
    if torch.compiler.is_compiling() or group.learns():
        z = linear(x, a)
        rows = weights.alpha.index_select(1, group.owner()).to(z.dtype).unsqueeze(1)
        return torch.split((_unit(z, rows) * rows).flatten(1), group.ranks, 1)
    rows = weights.rows(group.layout, group.owner, a.dtype)
    return frozen.down(x, weights.alpha, a, rows, group.owner(), group.ranks)


def _unit(z: Tensor, rows: Tensor) -> Tensor:
    """Return z with the layers of the group apart where they share their weights' layout."""
    return z.view(z.shape[0], -1, rows.shape[2])
