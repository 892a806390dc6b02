"""Products of float32 on CPUs, by the faster one of the two libraries that torch brings.

torch multiplies with MKL, which on processors of other makers than Intel leaves half of AVX-512
unused; oneDNN, which torch has as well, uses all of it. Results are equal up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.nn.functional import linear

from selfmoe.models.processor import wide_beyond_mkl
from selfmoe.models.watched import watched

WORTH, ROWS = 2**20, 4
"""Multiplications, and rows, from which on oneDNN is asked: it has more to do before it begins."""
ADDED = 16
"""Columns from which on a product is better added than made in the sum's place."""


def hasten(model: nn.Module) -> None:
    """Let the plain linear layers of a frozen model multiply by the faster library.

    Weights may be exchanged afterwards; where they learn, and off the CPU, nothing changes.

    Args:
        model: The model.
    """
    for layer in model.modules() if _pays() else ():
        if type(layer) is nn.Linear and "forward" not in vars(layer):
            layer.forward = Hastened(layer._parameters)  # type: ignore[assignment]


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x W^T + bias``, without gradients.

    Args:
        x: Shape ``(..., in)``.
        weight: Shape ``(out, in)``.
        bias: Shape ``(out,)``.

    Returns:
        Shape ``(..., out)``.
    """
    return by_onednn(x, weight, bias) if _pays() and _fits(x, weight) else linear(x, weight, bias)


def add_product(to: Tensor, x: Tensor, weight: Tensor) -> None:
    """Add ``x W^T`` to a tensor in place, without gradients.

    Args:
        to: Shape ``(rows, out)``.
        x: Shape ``(rows, in)``.
        weight: Shape ``(out, in)``.
    """
    if x.shape[-1] >= ADDED and _pays() and _fits(x, weight):
        to.add_(by_onednn(x, weight, None))
    else:
        to.addmm_(x, weight.t())


class _Laid(NamedTuple):
    """Weights as oneDNN reads them.

    Attributes:
        of: What they are made of, held so that no other weights come to lie in its place.
        version: How often torch had seen that changed.
        ordered: The weights.
    """

    of: Tensor
    version: int
    ordered: Tensor


class Hastened:
    """The forward of a linear layer, by the faster library.

    Args:
        parameters: Those of the layer, which may exchange them.

    Attributes:
        users: How many let its weights lie as oneDNN reads them, as ``LaidOut`` does.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters, self.users = parameters, 0
        self._laid: _Laid | None = None
        self._lock = Lock()

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the layer makes of ``x``, shape ``(..., out)``."""
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        if not _fits(x, weight):
            return linear(x, weight, bias)
        if not torch.is_grad_enabled():
            return by_onednn(x, self._lies(weight) if self.users else weight, bias)
        if weight.requires_grad or (bias is not None and bias.requires_grad):
            return linear(x, weight, bias)
        out: Tensor = _Frozen.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out

    def keep(self, users: int) -> None:
        """Have so many users more, or less."""
        with self._lock:  # models write in several threads
            self.users += users
            if not self.users:
                self._laid = None

    def _lies(self, weight: Tensor) -> Tensor:
        laid, version = self._laid, 0 if weight.is_inference() else weight._version
        if laid is None or laid.version != version or not weight.is_set_to(laid.of):
            ordered = torch.ops.mkldnn._reorder_linear_weight(weight, None)
            self._laid = laid = _Laid(weight.detach(), version, ordered)
        return laid.ordered

    def __reduce__(self) -> tuple[Any, ...]:
        return Hastened, (self.parameters,)


class _Frozen(Function):
    """``W x + bias`` with a gradient for x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the product, shape ``(..., out)``, for x of shape ``(..., in)``."""
        ctx.save_for_backward(weight)
        return by_onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of x, of its shape, from one ``(..., out)``."""
        (weight,) = ctx.saved_tensors
        return by_onednn(grad, weight.t(), None), None, None


@cache
def _pays() -> bool:
    return wide_beyond_mkl() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _fits(x: Tensor, weight: Tensor) -> bool:
    """Return whether the other library can take a product, and is worth asking."""
    alike = x.dtype == weight.dtype == torch.float32
    if not alike or torch.compiler.is_compiling() or watched():
        return False
    size = x.numel()
    enough = size * weight.shape[0] >= WORTH and size >= ROWS * x.shape[-1]
    return enough and x.device.type == "cpu"


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what ``product`` does, shape ``(..., out)``, by oneDNN whatever the sizes.

    Args:
        x: Shape ``(..., in)``.
        weight: Shape ``(out, in)``.
        bias: Shape ``(out,)``.
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out
