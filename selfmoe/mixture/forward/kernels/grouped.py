"""Many tokens: every expert computes only for the tokens that use it.

Tokens are sorted by expert once for all layers that the weights belong to, and gathered once for
those that read the same input. Where no token uses two experts the layer itself works on the sorted
tokens, so that an expert's part is added to rows that lie together; otherwise it is added row by
row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from selfmoe.mixture.forward.kernels.weights import Order, Weights
from selfmoe.mixture.forward.parts import Cut, LayerGroup, RoutedLayer

NARROW = 0.04
"""Cost of all experts relative to the layer itself from which on sorting can pay."""
SPARSE = 0.25
"""Part of the experts that tokens use at most."""
CROWD = 4
"""Tokens there are at least for each expert."""


def fits(group: LayerGroup, weights: Weights) -> bool:
    """Return True: it can do everything."""
    return True


def pays(group: LayerGroup, weights: Weights) -> bool:
    """Return whether the layers are narrow for so many experts, and tokens use few of these."""
    enough = weights.tokens >= CROWD * weights.experts
    if not (enough and weights.on_cpu and group.narrowness > NARROW):
        return False
    if group.parts[0].a.dtype != torch.float32:
        return False  # measured in bfloat16: products of a few rows cost more than is saved
    return weights.uses() <= SPARSE * weights.experts * weights.tokens


def run(group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with every expert's part added to the tokens that use it.

    Args:
        group: Layers that read ``x``.
        x: Their input, shape ``(..., in)``.
        weights: The weights of the experts, of as many tokens as ``x`` has rows.

    Returns:
        One tensor a layer, shape ``(..., out)``.
    """
    order = weights.order()
    gathered = x.reshape(-1, x.shape[-1]).index_select(0, order.tokens)
    parts = torch.split(gathered, order.counts)
    layers = zip(group.parts, group.factors(x.dtype), strict=True)
    if order.back is None:
        return [_added(part.plain(x), cut, parts, order) for part, cut in layers]
    return [_sorted(part, cut, x, gathered, parts, order) for part, cut in layers]


def _added(base: Tensor, cut: Cut, parts: Sequence[Tensor], order: Order) -> Tensor:
    out = base.view(-1, base.shape[-1])
    for place, z, b in _inner(cut, parts, order):
        out.index_add_(0, order.uses[place].tokens, torch.mm(z, b))
    return base


def _sorted(
    part: RoutedLayer,
    cut: Cut,
    x: Tensor,
    gathered: Tensor,
    parts: Sequence[Tensor],
    order: Order,
) -> Tensor:
    assert order.back is not None
    base = part.plain(gathered)
    rows = torch.split(base, order.counts)
    for place, z, b in _inner(cut, parts, order):
        rows[place].addmm_(z, b)
    return base.index_select(0, order.back).view(*x.shape[:-1], base.shape[-1])


def _inner(cut: Cut, parts: Sequence[Tensor], order: Order) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield for each expert in use its place in the order, its ``w A x`` and its ``B^T``."""
    for place, use in enumerate(order.uses):
        if use.expert in cut:
            a, b = cut[use.expert]
            z = torch.mm(a, parts[place].t()).mul_(use.weights)
            yield place, z.t(), b.t()
