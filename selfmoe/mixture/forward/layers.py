"""The routed linear layer: ``h = W0 x + sum_i alpha_i s_i B_i A_i x``.

The adapters of all experts lie side by side, so that one matrix product computes every ``A_i x``
and one more every ``B_i (...)``. How it is done in the end is the kernels' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.mixture.adapters import Factors
from selfmoe.mixture.forward.blocks import Block
from selfmoe.mixture.forward.kernels import AUTO, stacked
from selfmoe.mixture.forward.parts import Layout
from selfmoe.mixture.forward.sharing import Group


class RoutedDelta(nn.Module):
    """What several experts add to one linear layer; lives below that layer.

    Its tensors are non-persistent buffers: they move with the model and stay out of its state.
    Where ``a`` or ``b`` is made to require a gradient, it gets one.

    Args:
        factors: The experts that change this layer, by index in gate order.
        like: A tensor of the device and dtype to compute in.
        plain: What the layer itself computes.
        name: Of the layer.
        block: Says how the experts are weighed; ``None``: each counts fully.

    Attributes:
        a: All A below each other, shape ``(R, in)``, R the sum of all ranks.
        b: All ``s_i B_i`` side by side, shape ``(out, R)``; an expert's columns lie in one piece.
        owner: The expert of each of the R ranks, shape ``(R,)``.
        spans: The ranks of every expert there is.
        group: The layers that read the same input, once ``group_layers`` has told.
        place: Its place among them.
    """

    a: Tensor
    b: Tensor
    owner: Tensor
    group: Group
    place: int

    def __init__(
        self,
        factors: Mapping[int, Factors],
        like: Tensor,
        plain: Callable[..., Tensor],
        name: str,
        block: Block | None = None,
    ) -> None:
        super().__init__()
        parts = list(factors.values())
        a = torch.cat([f.a for f in parts])
        b = torch.cat([f.b.double() * f.scale for f in parts], dim=1)
        owner = torch.cat([torch.full((f.rank,), i) for i, f in factors.items()])
        self.register_buffer("a", a.to(like), persistent=False)
        self.register_buffer("b", b.to(like).t().contiguous().t(), persistent=False)
        self.register_buffer("owner", owner.to(like.device), persistent=False)
        self.layout: Layout = tuple((i, f.rank) for i, f in factors.items())
        self.rank, self.widths = a.shape[0], (a.shape[1], b.shape[0])
        self.spans: Mapping[int, slice] = _spans(self.layout)
        self.kernel = AUTO if block is None else block.kernel
        self.name, self.plain, self._block = name, plain, block

    def routed(self, x: Tensor) -> Tensor:
        """Return the layer's output with the experts' part added; takes its forward's place.

        Args:
            x: Shape ``(..., in)``.

        Returns:
            Shape ``(..., out)``.
        """
        block = self._block
        if block is None:
            z = linear(x.reshape(-1, x.shape[-1]), self.a.to(x.dtype))
            return stacked.added(self.plain(x), z, self)
        running = block.running
        weights = running.weights if running.block is block else None
        weights = weights or block.weigh(x, self)
        return self.plain(x) if weights is None else self.group.run(self, x, weights)

    @torch.no_grad()
    def put(self, slot: int, factors: Factors | None) -> None:
        """Let what one of the experts adds be that of other factors, of no higher rank.

        Args:
            slot: The expert's index.
            factors: The others; ``None``: it adds nothing.
        """
        span = self.spans[slot]
        a, b = self.a[span], self.b[:, span]
        rank = 0 if factors is None else factors.rank
        if factors is not None:
            a[:rank].copy_(factors.a)
            b[:, :rank].copy_(factors.b.double() * factors.scale)
        a[rank:].zero_()
        b[:, rank:].zero_()

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""
        return self.a.requires_grad or self.b.requires_grad


def _spans(layout: Layout) -> dict[int, slice]:
    spans, start = {}, 0
    for expert, rank in layout:
        spans[expert] = slice(start, start + rank)
        start += rank
    return spans
