"""The routed linear layer: ``h = W0 x + sum_i alpha_i s_i B_i A_i x``.

The adapters of all experts lie side by side, so that one matrix product computes every ``A_i x``
and one more every ``B_i (...)``. Further kernels belong here, beside ``stacked``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.mixture.adapters import Factors

Weigh = Callable[[Tensor], Tensor | None]
"""Returns the expert weights for a layer's input, or ``None`` where all experts count fully."""


def stacked(base: Tensor, x: Tensor, a: Tensor, b: Tensor, weights: Tensor | None) -> Tensor:
    """Return ``base + ((x A^T) * weights) B^T`` for the stacked factors of all experts.

    Args:
        base: ``W0 x``, shape ``(..., out)``.
        x: Input, shape ``(..., in)``.
        a: All A below each other, shape ``(R, in)``, R the sum of all ranks.
        b: All ``s_i B_i`` side by side, shape ``(out, R)``.
        weights: Weight of every rank-one part, broadcastable to ``(..., R)``; ``None``: all 1.
    """
    z = linear(x, a)
    if weights is not None:
        z = z * weights.to(z.dtype)
    flat = torch.addmm(base.flatten(0, -2), z.flatten(0, -2), b.t())
    return flat.view_as(base)


class RoutedDelta(nn.Module):
    """What several experts add to one linear layer; lives below that layer.

    Its tensors are non-persistent buffers: they move with the model and stay out of its state.

    Args:
        factors: The experts that change this layer, by index in gate order.
        like: A tensor of the device and dtype to compute in.
        weigh: Asked for the weights α of shape ``(..., n_experts)`` in every forward.
    """

    a: Tensor
    b: Tensor
    owner: Tensor

    def __init__(self, factors: Mapping[int, Factors], like: Tensor, weigh: Weigh) -> None:
        super().__init__()
        parts = list(factors.values())
        a = torch.cat([f.a for f in parts])
        b = torch.cat([f.b.double() * f.scale for f in parts], dim=1)
        owner = torch.cat([torch.full((f.rank,), i) for i, f in factors.items()])
        self.register_buffer("a", a.to(like), persistent=False)
        self.register_buffer("b", b.to(like), persistent=False)
        self.register_buffer("owner", owner.to(like.device), persistent=False)
        self.weigh = weigh

    def hook(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the layer's output with the experts' part added; a forward hook of the layer."""
        x = args[0]
        alpha = self.weigh(x)
        if alpha is not None:
            alpha = alpha.index_select(-1, self.owner)
            if alpha.dim() != x.dim():  # blocks that flatten (batch, time) for their linears
                alpha = alpha.reshape(*x.shape[:-1], -1)
        return stacked(output, x, self.a.to(x.dtype), self.b.to(x.dtype), alpha)
