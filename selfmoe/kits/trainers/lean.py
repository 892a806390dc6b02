"""LoRA layers while they learn, with less work around their products.

PEFT computes ``W x + B(A x) * s`` by way of two further tensors as large as the result, and of as
many on the way back. Here the part of B is added to ``W x`` in place, and that of A to the gradient
of x. Layers that are more than this, or of another precision than the adapter, stay PEFT's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

from selfmoe.models.products import product


@contextmanager
def lean(model: nn.Module) -> Iterator[None]:
    """Let the LoRA layers of a model that allow it compute this way, until the end.

    Args:
        model: A model with PEFT's layers, nothing of which learns but A and B.
    """
    layers = [layer for layer in model.modules() if _is_plain(layer)]
    for layer in layers:
        layer.__dict__["forward"] = _Lean(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


def _is_plain(layer: Any) -> bool:
    """Return whether a layer computes ``W x + B(A x) * s`` with W constant, and nothing else."""
    if type(layer) is not Linear or type(layer.base_layer) is not nn.Linear:
        return False
    names = layer.active_adapters
    if len(names) != 1 or layer.merged or layer.disable_adapters or layer.lora_variant:
        return False
    (name,) = names
    parts = (layer.base_layer, layer.lora_A[name], layer.lora_B[name])
    free = not any(p.requires_grad for p in layer.base_layer.parameters())
    exact = len({part.weight.dtype for part in parts}) == 1 and layer.lora_B[name].bias is None
    listened = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    return free and exact and not listened and type(layer.lora_dropout[name]) is nn.Identity


class _Lean:
    """The forward of one layer.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: Any) -> None:
        (name,) = layer.active_adapters
        self._layer, self._base, self._plain = layer, layer.base_layer, layer.forward
        self._a, self._b, self._scale = layer.lora_A[name], layer.lora_B[name], layer.scaling[name]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the layer's output, shape ``(..., out)``, for x of shape ``(..., in)``."""
        weight, bias = self._base.weight, self._base.bias
        other = x.dtype != weight.dtype or torch.is_autocast_enabled(x.device.type)
        if other or self._layer.disable_adapters:
            return self._plain(x)  # type: ignore[no-any-return]
        all_rows = Share(slice(None), self._a.weight, self._b.weight, self._scale)
        return lora_product(x, weight, bias, [all_rows])


class Share(NamedTuple):
    """What an adapter adds to some rows of a product.

    Attributes:
        rows: Which of them, along the first dimension.
        a: Shape ``(rank, in)``.
        b: Shape ``(out, rank)``.
        scale: What ``b a`` is multiplied by.
    """

    rows: slice
    a: Tensor
    b: Tensor
    scale: float


def lora_product(x: Tensor, weight: Tensor, bias: Tensor | None, shares: Sequence[Share]) -> Tensor:
    """Return ``W x + bias`` with what adapters add, with the gradients of x, A and B.

    Args:
        x: Shape ``(rows, …, in)``.
        weight: W, shape ``(out, in)``; constant.
        bias: Shape ``(out,)``; constant.
        shares: The adapters; no two of them for one row.

    Returns:
        Shape ``(rows, …, out)``.
    """
    factors = [factor for share in shares for factor in (share.a, share.b)]
    parts = [(share.rows, share.scale) for share in shares]
    out: Tensor = _Lora.apply(x, weight, bias, parts, *factors)  # type: ignore[no-untyped-call]
    return out


class _Lora(Function):
    """``W x + b + s B A x``, A, B and s those of each row, with the gradients of x, A and B."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        parts: Sequence[tuple[slice, float]],
        *factors: Tensor,
    ) -> Tensor:
        """Return the sum, shape ``(..., out)``, for x of shape ``(..., in)``."""
        out, zs = product(x, weight, bias), []
        for (rows, scale), a, b in zip(parts, factors[::2], factors[1::2], strict=True):
            z = product(x[rows].reshape(-1, x.shape[-1]), a)
            out[rows].view(-1, out.shape[-1]).addmm_(z, b.t(), alpha=scale)
            zs.append(z)
        ctx.save_for_backward(x, weight, *zs, *factors)
        ctx.parts = parts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, A and B, of their shapes, from one ``(..., out)``."""
        x, weight, *rest = ctx.saved_tensors
        count = len(ctx.parts)
        zs, factors = rest[:count], rest[count:]
        dx, found = None, []
        if ctx.needs_input_grad[0]:
            dx = product(grad.reshape(-1, grad.shape[-1]), weight.t()).view_as(x)
        for (rows, scale), z, a, b in zip(ctx.parts, zs, factors[::2], factors[1::2], strict=True):
            flat = grad[rows].reshape(-1, grad.shape[-1])
            dz = product(flat, b.t()).mul_(scale)
            found.append(product(dz.t(), x[rows].reshape(-1, x.shape[-1]).t()))
            found.append(
                product(z.t(), flat.t()).mul_(scale).t()
            )  # several times as fast as turned
            if dx is not None:
                dx[rows].view(-1, dx.shape[-1]).addmm_(dz, a)
        return dx, None, None, None, *found
