"""All experts at once: one product for the A side of a group, one for the B side of a layer.

With gradients for base, experts and gate alike plain autograd does it; where the experts are
frozen, as while a gate learns, ``frozen`` keeps less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from selfmoe.mixture.forward.kernels import frozen
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.parts import LayerGroup, RoutedLayer
from selfmoe.models.products import add_product, product

FEW = 16
"""Tokens up to which weights are spread over the ranks by multiplying, not before it."""


def fits(group: LayerGroup, weights: Weights) -> bool:
    """Return True: it can do everything."""
    return True


def pays(group: LayerGroup, weights: Weights) -> bool:
    """Return True: it is the one where no other is."""
    return True


def run(group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with the B side added.

    Args:
        group: Layers that read ``x``.
        x: Their input, shape ``(..., in)``.
        weights: The weights of the experts, of as many tokens as ``x`` has rows.

    Returns:
        One tensor a layer, shape ``(..., out)``.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        pieces = _weighted(group, x.reshape(-1, x.shape[-1]), weights)
        return [added(part.plain(x), z, part) for part, z in zip(group.parts, pieces, strict=True)]
    a, *_, of = group.packed.views()
    shape, x = x.shape[:-1], x.reshape(-1, x.shape[-1])
    z = product(x, a if a.dtype == x.dtype else a.to(x.dtype))
    parts, rows = _matched(z, group, weights)
    parts.mul_(rows)
    pieces = (z,) if len(of) == 1 else z.split_with_sizes(group.ranks, 1)
    layers = zip(group.parts, pieces, of, strict=True)
    return [_add(part.plain(x), z, b).view(*shape, b.shape[0]) for part, z, (_, b) in layers]


def added(base: Tensor, z: Tensor, part: RoutedLayer) -> Tensor:
    """Return ``base + z B^T``, in place where nobody asks for gradients of what is overwritten.

    Args:
        base: ``W0 x``, shape ``(..., out)``.
        z: ``w A x``, shape ``(tokens, R)``.
        part: The layer's factors.

    Returns:
        The sum, of the shape of ``base``.
    """
    if not (torch.is_grad_enabled() or torch.compiler.is_compiling()):
        _add(base.view(-1, base.shape[-1]), z, part.b)
        return base
    b, z = part.b.to(base.dtype), z.to(base.dtype)
    if torch.compiler.is_compiling() or part.learns():
        return torch.addmm(base.flatten(0, -2), z, b.t()).view_as(base)
    return frozen.up(base, z, b)


def _add(base: Tensor, z: Tensor, b: Tensor) -> Tensor:
    if not b.dtype == z.dtype == base.dtype:
        b, z = b.to(base.dtype), z.to(base.dtype)
    add_product(base, z, b)
    return base


def _weighted(group: LayerGroup, x: Tensor, weights: Weights) -> Sequence[Tensor]:
    """Return the weighted ``A_i x`` of all experts for each layer, shape ``(tokens, R)``."""
    a = group.a().to(x.dtype)
    if torch.compiler.is_compiling() or group.learns():
        z = linear(x, a)
        rows = weights.alpha.index_select(1, group.owner()).to(z.dtype)
        parts, rows = _alike(z, rows)
        return torch.split((parts * rows).flatten(1), group.ranks, 1)
    rows = weights.rows(group.layout, group.owner, a.dtype).unsqueeze(1)
    return frozen.down(x, weights.alpha, a, rows, group.owner(), group.ranks)


# --- A x, shape (tokens, sum of ranks), and α, so that they can be multiplied -------------------


def _matched(z: Tensor, group: LayerGroup, weights: Weights) -> tuple[Tensor, Tensor]:
    tokens, experts = weights.tokens, weights.experts
    if tokens <= FEW and group.even and len(group.layout) == experts:
        layers = len(group.parts)
        rank = z.shape[1] // (layers * experts)
        return z.view(tokens, layers, experts, rank), weights.columns(z.dtype)
    return _alike(z, weights.rows(group.layout, group.owner, z.dtype))


def _alike(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    if z.shape == rows.shape:
        return z, rows  # otherwise the weights are those of one of several layers
    return z.view(z.shape[0], z.shape[1] // rows.shape[1], rows.shape[1]), rows.unsqueeze(1)
