"""Which linears of a block read the same input, and what they share.

This is not told from names: a forward of one token shows which linears are given the very same
tensor, and from then on these are a group. It is known before any forward that counts, because
checkpointing wants a block to do the same whenever it runs. What a group has computed is used by a
linear only if that is given the same tensor again; otherwise it is computed anew.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selfmoe.errors import CompositionError
from selfmoe.mixture.kernels import Kernel, choose
from selfmoe.mixture.kernels.weights import Layout, Weights

if TYPE_CHECKING:
    from selfmoe.mixture.layers import RoutedDelta


def share(seen: Iterable[tuple[RoutedDelta, Tensor]]) -> tuple[Group, ...]:
    """Return the groups of layers that were given the same input.

    Args:
        seen: Layers and their inputs, in the order in which they ran.
    """
    groups: dict[int, tuple[Tensor, list[RoutedDelta]]] = {}
    placed: set[int] = set()
    for part, x in seen:
        if id(part) not in placed:  # the tensors are held here: their ids are theirs alone
            placed.add(id(part))
            groups.setdefault(id(x), (x, []))[1].append(part)
    return tuple(Group(parts) for _, parts in groups.values())


class Group:
    """Layers that read the same input; the last of them to run ends what they share.

    Args:
        parts: The layers, in the order in which they run.

    Attributes:
        parts: The same.
        ranks: Sum of all experts' ranks, for each layer.
        layout: Whose the ranks of a layer are, or of all layers if they differ.
        narrowness: Cost of all experts relative to that of the layers.
    """

    def __init__(self, parts: Sequence[RoutedDelta]) -> None:
        self.parts = tuple(parts)
        self.ranks = [part.rank for part in self.parts]
        alike = len({part.layout for part in self.parts}) == 1
        laid = self.parts[:1] if alike else self.parts
        self.layout: Layout = sum((part.layout for part in laid), ())
        self._laid = laid
        costs = [(p.rank * sum(p.widths), p.widths[0] * p.widths[1]) for p in self.parts]
        self.narrowness = sum(extra for extra, _ in costs) / sum(own for _, own in costs)
        self._joined: tuple[Tensor, tuple[Tensor, ...]] | None = None
        self.clear()
        for place, part in enumerate(self.parts):
            part.group, part.place = self, place

    def clear(self) -> None:
        """Forget what was computed."""
        self._x: Tensor | None = None
        self._kernel: Kernel | None = None
        self._pieces: Sequence[Any] = ()

    def run(self, part: RoutedDelta, x: Tensor, weights: Weights) -> Tensor:
        """Return the output of one of the layers with the experts' part added.

        Args:
            part: The layer.
            x: Its input, shape ``(..., in)``.
            weights: The weights of the experts.

        Raises:
            CompositionError: If the weights are for other tokens than those of ``x``.
        """
        if self._kernel is None or x is not self._x:
            flat = x.reshape(-1, x.shape[-1])
            if flat.shape[0] != weights.tokens:
                raise CompositionError(
                    f"a layer was given {flat.shape[0]} tokens of the {weights.tokens} that its "
                    "decoder block routes; such blocks (sparse ones) cannot be routed"
                )
            self._kernel = choose(part.kernel, self, flat, weights)
            self._pieces = self._kernel.down(self, flat, weights)
            self._x = x
        kernel, piece = self._kernel, self._pieces[part.place]
        if part is self.parts[-1]:
            self.clear()
        return kernel.up(part, piece, x, weights)

    # --- what kernels ask for -------------------------------------------------------------------

    def a(self) -> Tensor:
        """Return the A of all layers below each other, shape ``(sum of ranks, in)``.

        The layers' own become views of it, so that nothing is there twice.
        """
        if len(self.parts) == 1:
            return self.parts[0].a
        own = tuple(part.a for part in self.parts)
        if any(a.requires_grad for a in own):
            return torch.cat(own)
        if self._joined is None or any(map(operator.is_not, own, self._joined[1])):
            self._joined = self._join(own), own
        return self._joined[0]

    def _join(self, own: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            whole = torch.cat(list(own))
            for part, view in zip(self.parts, torch.split(whole, self.ranks), strict=True):
                part.a.data = view
                part.forget()
        return whole

    def owner(self) -> Tensor:
        """Return the expert of every rank in ``layout``."""
        owners = [part.owner for part in self._laid]
        return owners[0] if len(owners) == 1 else torch.cat(owners)

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""
        return any(part.learns() for part in self.parts)
