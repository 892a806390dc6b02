"""What kernels compute with: a routed layer, a group of layers, and their factors.

Kernels know these shapes and nothing of who fills them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Layout = tuple[tuple[int, int], ...]
"""Whose the rows of stacked factors are: expert and rank, one after the other."""

Cut = Mapping[int, tuple[Tensor, Tensor]]
"""Every expert's A, shape ``(r, in)``, and its ``s B``, shape ``(out, r)``."""


class Made(dict[str, object]):
    """What kernels have made of factors; a copy of these has nothing made yet."""

    def __deepcopy__(self, memo: dict[int, object]) -> Made:
        return Made()

    def __reduce__(self) -> tuple[type[Made], tuple[()]]:
        return Made, ()


class Views(NamedTuple):
    """The factors of a group of layers as kernels read them.

    Attributes:
        a: All A below each other, shape ``(sum of ranks, in)``.
        b_t: For each layer B transposed, shape ``(R, out)``.
        cut: For each layer the factors of every expert.
        of: The tensors of the layers that these are views of.
    """

    a: Tensor
    b_t: tuple[Tensor, ...]
    cut: tuple[Cut, ...]
    of: tuple[tuple[Tensor, Tensor], ...]


class RoutedLayer(Protocol):
    """What several experts add to one linear layer.

    Attributes:
        name: Of the layer.
        kernel: The kernel that is asked for.
        layout: Whose its ranks are.
        rank: R, the sum of all ranks.
        widths: Features in and out.
        spans: The ranks of every expert there is.
    """

    name: str
    kernel: str
    layout: Layout
    rank: int
    widths: tuple[int, int]
    spans: Mapping[int, slice]

    @property
    def a(self) -> Tensor:
        """Return all A below each other, shape ``(R, in)``."""

    @property
    def b(self) -> Tensor:
        """Return all ``s B`` side by side, shape ``(out, R)``."""

    @property
    def owner(self) -> Tensor:
        """Return the expert of each of the R ranks, shape ``(R,)``."""

    @property
    def plain(self) -> Callable[..., Tensor]:
        """Return what the layer itself computes, from shape ``(..., in)`` to ``(..., out)``."""

    @property
    def _buffers(self) -> dict[str, Tensor | None]:
        """Return where a module keeps A and B."""

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""


class PackedFactors(Protocol):
    """Where the factors of a group lie."""

    def views(self) -> Views:
        """Return the factors as they are now."""

    def made(self) -> Made:
        """Return what kernels have made of the factors, by the kernels' names."""


class LayerGroup(Protocol):
    """Layers that read the same input.

    Attributes:
        ranks: Sum of all experts' ranks, for each layer.
        layout: Whose the ranks of a layer are, or of all layers if they differ.
        even: Whether ``layout`` has the same rank for every expert from the first on, in order.
        narrowness: Cost of all experts relative to that of the layers, or of the whole block.
    """

    ranks: list[int]
    layout: Layout
    even: bool
    narrowness: float

    @property
    def parts(self) -> Sequence[RoutedLayer]:
        """Return the layers, in the order in which they run."""

    @property
    def packed(self) -> PackedFactors:
        """Return where the factors lie."""

    def a(self) -> Tensor:
        """Return all A below each other, with gradients; shape ``(sum of ranks, in)``."""

    def factors(self, dtype: torch.dtype) -> Sequence[Cut]:
        """Return for each layer every expert's A, shape ``(r, in)``, and ``s B``, ``(out, r)``."""

    def owner(self) -> Tensor:
        """Return the expert of every rank in ``layout``, shape ``(ranks,)``."""

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""
