"""Which linears of a block read the same input, and what they share.

This is not told from names: a forward of one token shows which linears are given the very same
tensor, and from then on these are a group. It is known before any forward that counts, because
checkpointing wants a block to do the same whenever it runs. The first linear of a group to run has
the outputs of all computed; another takes its own only if it is given the same tensor, otherwise it
is computed anew.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selfmoe.errors import CompositionError
from selfmoe.mixture.kernels import choose
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


@torch.no_grad()
def pack(groups: Sequence[Group]) -> None:
    """Move the factors of a block's layers into one piece of memory, in the order of their use.

    What is read in order is read faster. Where they differ in dtype or device they stay.
    """
    tensors = [tensor for group in groups for part in group.parts for tensor in (part.a, part.b)]
    if len({(tensor.dtype, tensor.device) for tensor in tensors}) == 1:
        memory = tensors[0].new_empty(sum(tensor.numel() for tensor in tensors))
        for group in groups:
            memory = group.move(memory)


def _copied(tensor: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return a copy at the beginning of a piece of memory, and the rest of it."""
    copy, rest = memory[: tensor.numel()].view(tensor.shape), memory[tensor.numel() :]
    return copy.copy_(tensor), rest


class Group:
    """Layers that read the same input; the last of them to run ends what they share.

    Args:
        parts: The layers, in the order in which they run.

    Attributes:
        parts: The same.
        ranks: Sum of all experts' ranks, for each layer.
        layout: Whose the ranks of a layer are, or of all layers if they differ.
        narrowness: Cost of all experts relative to that of the layers.
        x: The input for which outputs of further layers are there.
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
        self._joined: tuple[Tensor, Sequence[Tensor]] | None = None
        self.clear()
        for place, part in enumerate(self.parts):
            part.group, part.place = self, place

    def clear(self) -> None:
        """Forget what was computed."""
        self.x: Tensor | None = None
        self._outputs: list[Tensor | None] = []

    def take(self, place: int) -> Tensor | None:
        """Return the output of a layer that was computed with another's, once.

        Args:
            place: Of the layer.
        """
        output = self._outputs[place]
        if place == len(self._outputs) - 1:
            self.clear()
        else:
            self._outputs[place] = None
        return output

    def run(self, part: RoutedDelta, x: Tensor, weights: Weights) -> Tensor:
        """Return the output of one of the layers with the experts' part added.

        Args:
            part: The layer.
            x: Its input, shape ``(..., in)``.
            weights: The weights of the experts.

        Raises:
            CompositionError: If the weights are for other tokens than those of ``x``.
        """
        tokens = x.numel() // x.shape[-1]
        if tokens != weights.tokens:
            raise CompositionError(
                f"a layer was given {tokens} tokens of the {weights.tokens} that its decoder "
                "block routes; such blocks (sparse ones) cannot be routed"
            )
        outputs = choose(part.kernel, self, weights).run(self, x, weights)
        output, place = outputs[part.place], part.place
        if place < len(outputs) - 1:
            self.x, self._outputs = x, [*outputs]
            self._outputs[place] = None
        else:
            self.clear()
        return output

    # --- what kernels ask for -------------------------------------------------------------------

    def a(self) -> Tensor:
        """Return the A of all layers below each other, shape ``(sum of ranks, in)``.

        The layers' own become views of it, so that nothing is there twice.
        """
        if len(self.parts) == 1:
            return self.parts[0].views().a
        own = [part.views().a for part in self.parts]
        if torch.is_grad_enabled() and any(a.requires_grad for a in own):
            return torch.cat(own)
        if self._joined is None or any(map(operator.is_not, own, self._joined[1])):
            with torch.inference_mode(False), torch.no_grad():
                self._settle(torch.cat(own))
        assert self._joined is not None
        return self._joined[0]

    def move(self, memory: Tensor) -> Tensor:
        """Move all factors to the beginning of a piece of memory, and return the rest of it."""
        whole, rest = _copied(torch.cat([part.a for part in self.parts]), memory)
        self._settle(whole)
        for part in self.parts:
            b_t, rest = _copied(part.b.t(), rest)
            part.b.data = b_t.t()
        return rest

    def _settle(self, whole: Tensor) -> None:
        """Let the A of the layers be views of one tensor that has them below each other."""
        for part, view in zip(self.parts, torch.split(whole, self.ranks), strict=True):
            part.a.data = view
            part.forget()
        self._joined = whole, [part.a for part in self.parts]

    def owner(self) -> Tensor:
        """Return the expert of every rank in ``layout``."""
        return torch.cat([part.owner for part in self._laid])

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""
        return any(part.learns() for part in self.parts)
