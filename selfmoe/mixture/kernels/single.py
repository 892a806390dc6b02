"""One token: only the experts it uses are read, a matrix-vector product for each A and B.

Looks at the weights from Python, which is cheaper than computing with them, but waits for an
accelerator; there it is chosen only when asked for.
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


def fits(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return whether there is one token and no gradients."""
    return weights.tokens == 1 and not torch.is_grad_enabled()


def pays(group: Group, x: Tensor, weights: Weights) -> bool:
    """Return whether it is one token that uses few of the experts, on the CPU."""
    if weights.tokens != 1 or not weights.on_cpu:
        return False
    return len(weights.active()) <= max(1, weights.experts // 4)


def down(group: Group, x: Tensor, weights: Weights) -> Sequence[Tensor]:
    """Return the token for each layer; which experts count is the same for all."""
    return (x.view(-1),) * len(group.parts)


def up(part: RoutedDelta, piece: Tensor, x: Tensor, weights: Weights) -> Tensor:
    """Return the layer's output with the part of every expert in use added."""
    base = part.plain(x)
    factors = part.factors(piece.dtype)
    for expert, weight in weights.active():
        if expert in factors:
            a, b = factors[expert]
            base.view(-1).addmv_(b, torch.mv(a, piece), alpha=weight)
    return base
