"""Gates as formulas of the running forward: all that is needed to compute them elsewhere.

A gate that has one says so by a method ``formula()``. What keeps state between forwards, is told
labels, or reads a pass of the base alone has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

Normalise = Literal["none", "mean_square", "standard"]
"""What is done to x: nothing; ``x / sqrt(mean x² + 1e-6)``; mean 0 and variance 1, with 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """``alpha = weigh(keep(softmax((theta x̂ + bias) / temperature)))``, all in float32.

    A tensor is found by the name of the linear that asks, with ``/`` for ``.``; else by the width
    of x, in digits; else under ``all``. One of three dimensions has a matrix for each block.

    Attributes:
        theta: Shape ``(n_experts, width)`` or ``(blocks, n_experts, width)``.
        bias: Shape ``(n_experts,)``, where there is one; -inf leaves an expert out.
        normalise: What makes x̂ of x.
        absolute: Whether ``|theta x̂|`` takes the place of ``theta x̂``.
        temperature: Divides the logits; ``None``: the square root of the width of x.
        k: How many of the largest probabilities are kept at the most; ``None``: all.
        p: How much they sum to when no further one is kept; 1 keeps all.
        weight: ``softmax`` leaves them as they are, ``one`` scales them to sum 1.
    """

    theta: Mapping[str, Tensor]
    bias: Mapping[str, Tensor] = field(default_factory=dict)
    normalise: Normalise = "none"
    absolute: bool = False
    temperature: float | None = 1.0
    k: int | None = None
    p: float = 1.0
    weight: Literal["softmax", "one"] = "softmax"


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Every expert weighs the same, always.

    Attributes:
        value: What each weighs.
    """

    value: float


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """k experts of the same weight, drawn by a hash of seed, block, position and token.

    The hash is SplitMix64, fed with one after the other; an expert's lot is that of its number.

    Attributes:
        k: How many.
        value: What each weighs.
        seed: Decides the draw.
    """

    k: int
    value: float
    seed: int


Formula = Scored | Constant | Drawn


@runtime_checkable
class Formulated(Protocol):
    """A gate that is a formula of the running forward."""

    def formula(self) -> Formula:
        """Return the formula, with the gate's tensors as they are now."""
