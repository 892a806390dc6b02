"""Where factors lie in memory: all A of a group below each other, all factors of a block in a row.

What is read in order is read faster, and one product serves the A of a whole group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from selfmoe.mixture.forward.parts import Made, RoutedLayer, Views


class Packed:
    """The factors of layers that read the same input.

    Args:
        parts: The layers, in the order in which they run.

    Attributes:
        parts: The same.
    """

    def __init__(self, parts: Sequence[RoutedLayer]) -> None:
        self.parts, self._made = parts, Made()
        self._ranks = [part.rank for part in parts]
        self._views: Views | None = None

    def views(self) -> Views:
        """Return the factors, made anew if the layers have got other ones.

        Looks where modules keep their buffers: asking for attributes costs more than some products.
        """
        views = self._views
        if views is not None:
            for part, (a, b) in zip(self.parts, views.of):  # noqa: B905 - as many, and often asked
                if part._buffers["a"] is not a or part._buffers["b"] is not b:
                    break
            else:
                return views
        with torch.inference_mode(False), torch.no_grad():
            return self._joined(torch.cat([part.a for part in self.parts]))

    def made(self) -> Made:
        """Return what kernels have made of the factors; they say whether it still holds."""
        return self._made

    def move(self, memory: Tensor) -> Tensor:
        """Move all factors to the beginning of a piece of memory, and return the rest of it.

        Args:
            memory: Shape ``(numbers,)``, at least as many as the factors have.
        """
        whole, rest = _copied(torch.cat([part.a for part in self.parts]), memory)
        for part in self.parts:
            b_t, rest = _copied(part.b.t(), rest)
            part.b.data = b_t.t()
        self._joined(whole)
        return rest

    def _joined(self, whole: Tensor) -> Views:
        """Let the A of the layers be views of one tensor, so that nothing is there twice."""
        for part, view in zip(self.parts, torch.split(whole, self._ranks), strict=True):
            part.a.data = view
        of = tuple((part.a, part.b) for part in self.parts)
        cut = tuple(
            {i: (a[span], b[:, span]) for i, span in part.spans.items()}
            for part, (a, b) in zip(self.parts, of, strict=True)
        )
        self._made.clear()  # what was made of others would hold these in memory
        self._views = Views(whole, tuple(b.t() for _, b in of), cut, of)
        return self._views


@torch.no_grad()
def pack(packed: Sequence[Packed]) -> None:
    """Move the factors of several groups into one piece of memory, in the order of their use.

    Where they differ in dtype or device they stay.

    Args:
        packed: The factors of each group.
    """
    tensors = [t for one in packed for part in one.parts for t in (part.a, part.b)]
    if len({(tensor.dtype, tensor.device) for tensor in tensors}) == 1:
        memory = tensors[0].new_empty(sum(tensor.numel() for tensor in tensors))
        for one in packed:
            memory = one.move(memory)


def _copied(tensor: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return a copy at the beginning of a piece of memory, and the rest of it."""
    copy, rest = memory[: tensor.numel()].view(tensor.shape), memory[tensor.numel() :]
    return copy.copy_(tensor), rest
