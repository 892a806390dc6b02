"""A few tokens: only the experts that each uses are read, a matrix-vector product for each A and B.

Looks at the weights from Python, which is cheaper than computing with them, but waits for an
accelerator; there it is chosen only when asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from selfmoe.mixture.forward.kernels.weights import Active, Weights
from selfmoe.mixture.forward.parts import Cut, LayerGroup

FEW = 16
"""Tokens it can be chosen for at most."""


def fits(group: LayerGroup, weights: Weights) -> bool:
    """Return True: it can do everything."""
    return True


def pays(group: LayerGroup, weights: Weights) -> bool:
    """Return whether there are few tokens that use few of the experts, on the CPU."""
    most = max(1, weights.experts // 2)
    if weights.tokens > min(FEW, most) or not weights.on_cpu:
        return False  # looking costs as much as a layer, and most tokens use at least one
    return len(weights.active()) <= most


def run(group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with the part of every expert in use added.

    Args:
        group: Layers that read ``x``.
        x: Their input, shape ``(..., in)``.
        weights: The weights of the experts, of as many tokens as ``x`` has rows.

    Returns:
        One tensor a layer, shape ``(..., out)``.
    """
    tokens = _rows(x.reshape(weights.tokens, -1), weights.tokens)
    active, outputs = weights.active(), []
    for part, factors in zip(group.parts, group.factors(x.dtype), strict=True):
        output = part.plain(x)
        _add(_rows(output, weights.tokens), tokens, factors, active)
        outputs.append(output)
    return outputs


def _rows(x: Tensor, tokens: int) -> Sequence[Tensor]:
    return (x.view(-1),) if tokens == 1 else x.view(tokens, -1).unbind()


def _add(
    rows: Sequence[Tensor], tokens: Sequence[Tensor], factors: Cut, active: Sequence[Active]
) -> None:
    for token, expert, weight in active:
        if expert in factors:
            a, b = factors[expert]
            rows[token].addmv_(b, torch.mv(a, tokens[token]), alpha=weight)
