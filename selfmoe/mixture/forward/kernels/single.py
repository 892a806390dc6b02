"""One token: only the experts it uses are read, a matrix-vector product for each A and B.

Looks at the weights from Python, which is cheaper than computing with them, but waits for an
accelerator; there it is chosen only when asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.parts import LayerGroup


def fits(group: LayerGroup, weights: Weights) -> bool:
    """Return whether there is one token."""
    return weights.tokens == 1


def pays(group: LayerGroup, weights: Weights) -> bool:
    """Return whether it is one token that uses few of the experts, on the CPU."""
    if weights.tokens != 1 or not weights.on_cpu:
        return False
    return len(weights.active()) <= max(1, weights.experts // 4)


def run(group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with the part of every expert in use added.

    Args:
        group: Layers that read ``x``.
        x: Their input, one token: shape ``(..., in)`` with nothing but ones before ``in``.
        weights: The weights of the experts for that token.

    Returns:
        One tensor a layer, shape ``(..., out)``.
    """
    token, active, outputs = x.reshape(-1), weights.active(), []
    for part, factors in zip(group.parts, group.factors(x.dtype), strict=True):
        output = part.plain(x)
        row = output.view(-1)
        for expert, weight in active:
            if expert in factors:
                a, b = factors[expert]
                row.addmv_(b, torch.mv(a, token), alpha=weight)
        outputs.append(output)
    return outputs
