"""Which linears of a block read the same input, and what they share.

This is not told from names: a forward of one token shows which linears are given the very same
tensor, and from then on these are a group. It is known before any forward that counts, because
checkpointing wants a block to do the same whenever it runs. The first linear of a group to run has
the outputs of all computed; another takes its own only if it is given the same tensor, otherwise it
is computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, is_grad_enabled

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.kernels import choose_kernel
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.packing import Packed, pack
from selfmoe.mixture.forward.parts import Cut, Layout, RoutedLayer


class Member(RoutedLayer, Protocol):
    """A layer that belongs to a group.

    Attributes:
        group: The group.
        place: Its place there.
    """

    group: Group
    place: int


def group_layers(
    layers: Sequence[Member], seen: Sequence[tuple[Member, Tensor]] = ()
) -> tuple[Group, ...]:
    """Tell every layer its group, those that read the same input or itself alone.

    The factors of layers that were seen are moved into one piece of memory.

    Args:
        layers: All there are in a block.
        seen: Those that ran in a forward and the input of each, shape ``(..., in)``, in the order
            in which they ran.

    Returns:
        The groups.
    """
    shared = _same_input(seen)
    cost = narrowness([part for parts in shared for part in parts])
    groups = [Group(parts, number, cost) for number, parts in enumerate(shared)]
    pack([group.packed for group in groups])
    placed = {id(part) for group in groups for part in group.parts}
    alone = [part for part in layers if id(part) not in placed]
    groups += [Group([part], n, narrowness([part])) for n, part in enumerate(alone, len(groups))]
    for group in groups:
        for place, part in enumerate(group.parts):
            part.group, part.place = group, place
    return tuple(groups)


def _same_input(seen: Sequence[tuple[Member, Tensor]]) -> list[list[Member]]:
    """Return the layers that were given the very same tensor together."""
    found: dict[int, list[Member]] = {}
    placed: set[int] = set()
    for part, x in seen:
        if id(part) not in placed:  # the tensors are held by ``seen``: their ids are theirs alone
            placed.add(id(part))
            found.setdefault(id(x), []).append(part)
    return list(found.values())


def narrowness(parts: Sequence[RoutedLayer]) -> float:
    """Return what all experts cost relative to the layers that they change; 0 without layers."""
    costs = [(part.rank * sum(part.widths), math.prod(part.widths)) for part in parts]
    return sum(extra for extra, _ in costs) / max(1, sum(own for _, own in costs))


class Group:
    """Layers that read the same input; the last of them to run ends what they share.

    What is computed for further layers is held by the weights it was computed with, so that it
    belongs to one run of one block.

    Args:
        parts: The layers, in the order in which they run.
        number: Tells it from the other groups of its block.
        narrowness: Cost of all experts relative to that of the layers, or of the whole block.

    Attributes:
        parts: The same.
        ranks: Sum of all experts' ranks, for each layer.
        layout: Whose the ranks of a layer are, or of all layers if they differ.
        even: Whether ``layout`` has the same rank for every expert from the first on, in order.
        narrowness: The same.
        packed: The layers' factors.
        width: Features that enter the layers.
    """

    def __init__(self, parts: Sequence[Member], number: int, narrowness: float) -> None:
        self.parts, self.number, self.narrowness = tuple(parts), number, narrowness
        self.ranks = [part.rank for part in self.parts]
        alike = len({part.layout for part in self.parts}) == 1
        laid = self.parts[:1] if alike else self.parts
        self.layout: Layout = sum((part.layout for part in laid), ())
        self._laid = laid
        ranks = {rank for _, rank in self.layout}
        self.even = len(ranks) == 1 and [i for i, _ in self.layout] == list(range(len(self.layout)))
        self.packed, self.width = Packed(self.parts), self.parts[0].widths[0]

    def run(self, part: Member, x: Tensor, weights: Weights) -> Tensor:
        """Return the output of one of the layers with the experts' part added.

        Args:
            part: The layer.
            x: Its input, shape ``(..., in)``.
            weights: The weights of the experts.

        Returns:
            Shape ``(..., out)``.

        Raises:
            CompositionError: If the weights are for other tokens than those of ``x``.
        """
        held = weights.held.get(self.number)
        if held is not None and held[0] is x and (output := self._take(part, weights)) is not None:
            return output
        if x.numel() != weights.tokens * self.width:
            raise CompositionError(
                f"{part.name} was given {x.numel() // self.width} tokens of the "
                f"{weights.tokens} that its decoder block routes; a router cannot weigh that"
            )
        kernel = weights.kernel
        if kernel is None or is_grad_enabled():
            kernel = choose_kernel(part.kernel, self, weights)
        outputs: list[Any] = kernel.run(self, x, weights)
        if len(outputs) == 1:
            return outputs[0]  # type: ignore[no-any-return]
        weights.held[self.number] = x, outputs
        return self._take(part, weights)  # type: ignore[return-value]

    def _take(self, part: Member, weights: Weights) -> Tensor | None:
        """Return the output of a layer that is held, once; the last layer's ends the holding."""
        outputs = weights.held[self.number][1]
        output = outputs[part.place]
        outputs[part.place] = None
        if part.place == len(outputs) - 1:
            del weights.held[self.number]
        return output

    # --- what kernels ask for -------------------------------------------------------------------

    def a(self) -> Tensor:
        """Return the A of all layers below each other, with gradients if they have any.

        Shape ``(sum of ranks, in)``.
        """
        if self.learns():
            return torch.cat([part.a for part in self.parts])
        return self.packed.views().a

    def factors(self, dtype: torch.dtype) -> Sequence[Cut]:
        """Return for each layer every expert's A, shape ``(r, in)``, and ``s B``, ``(out, r)``."""
        views = self.packed.views()
        if views.a.dtype == dtype:
            return views.cut
        return [{i: (a.to(dtype), b.to(dtype)) for i, (a, b) in cut.items()} for cut in views.cut]

    def owner(self) -> Tensor:
        """Return the expert of every rank in ``layout``, shape ``(ranks,)``."""
        owners = [part.owner for part in self._laid]
        return owners[0] if len(owners) == 1 else torch.cat(owners)

    def learns(self) -> bool:
        """Return whether the experts themselves are being trained."""
        return any(part.learns() for part in self.parts)
