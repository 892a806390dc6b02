"""Gradients past frozen experts: only the layer's input and the weights α receive any.

For ``z = (x A^T) * w`` and ``y = base + z B^T``, w being α spread over the ranks, with A and B
constant: ``dz = dy B``, ``dα_i = sum over the ranks of i of (dz * x A^T)``, ``dx = (dz * w) A``.
Plain autograd would do, but pays for a copy of every output and of every slice of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn.functional import one_hot

from selfmoe.models.products import add_product, product


def down(
    x: Tensor, alpha: Tensor, a: Tensor, rows: Tensor, owner: Tensor, ranks: Sequence[int]
) -> tuple[Tensor, ...]:
    """Return the A side of a group of layers, ``(x A^T) * w``, one tensor ``(tokens, R)`` a layer.

    Args:
        x: Shape ``(tokens, in)``.
        alpha: Shape ``(tokens, n_experts)``.
        a: Shape ``(sum of ranks, in)``.
        rows: ``alpha`` spread over the ranks, of all layers, or of one if they are alike; shape
            ``(tokens, 1, ranks)``.
        owner: The expert of each of these ranks, shape ``(ranks,)``.
        ranks: R of each layer.
    """
    pieces: tuple[Tensor, ...] = Down.apply(x, alpha, a, rows, owner, list(ranks))  # type: ignore[no-untyped-call]
    return pieces


def up(base: Tensor, z: Tensor, b: Tensor) -> Tensor:
    """Return ``base + z B^T``.

    Args:
        base: Shape ``(..., out)``; overwritten unless it is a view, whose gradient would have to
            be copied.
        z: Shape ``(tokens, R)``.
        b: Shape ``(out, R)``.

    Returns:
        The sum, of the shape of ``base``.
    """
    out: Tensor = Up.apply(base, z, b)  # type: ignore[no-untyped-call]
    return out


class Down(Function):
    """What ``down`` does, with its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        alpha: Tensor,
        a: Tensor,
        rows: Tensor,
        owner: Tensor,
        ranks: list[int],
    ) -> tuple[Tensor, ...]:
        """Return one tensor ``(tokens, R)`` a layer; the shapes given are those of ``down``."""
        z = product(x, a)
        ctx.save_for_backward(z, rows, a, owner)
        ctx.experts, ctx.alpha_dtype = alpha.shape[1], alpha.dtype
        weighted = z.view(len(z), -1, rows.shape[2]) * rows
        return torch.split(weighted.flatten(1), ranks, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and α, of their shapes, from one ``(tokens, R)`` a layer."""
        z, rows, a, owner = ctx.saved_tensors
        grad = grads[0] if len(grads) == 1 else torch.cat(grads, 1)
        parts = grad.view(len(z), -1, rows.shape[2])
        dx = dalpha = None
        if ctx.needs_input_grad[0]:
            dx = product((parts * rows).flatten(1), a.t())
        if ctx.needs_input_grad[1]:
            exact = torch.promote_types(z.dtype, ctx.alpha_dtype)
            share = (parts.to(exact) * z.view_as(parts)).sum(1)
            dalpha = (share @ one_hot(owner, ctx.experts).to(exact)).to(ctx.alpha_dtype)
        return dx, dalpha, None, None, None, None


class Up(Function):
    """What ``up`` does, with its gradient."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, z: Tensor, b: Tensor) -> Tensor:
        """Return the sum, shape ``(..., out)``; the shapes given are those of ``up``."""
        ctx.save_for_backward(b)
        flat = base.view(-1, base.shape[-1])
        if base._is_view():
            return torch.addmm(flat, z, b.t()).view_as(base)
        ctx.mark_dirty(base)
        add_product(flat, z, b)
        return base

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of base and z, of their shapes, from one ``(..., out)``."""
        (b,) = ctx.saved_tensors
        dz = product(grad.reshape(-1, grad.shape[-1]), b.t()) if ctx.needs_input_grad[1] else None
        return grad if ctx.needs_input_grad[0] else None, dz, None
