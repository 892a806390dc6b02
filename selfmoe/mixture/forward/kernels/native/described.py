"""A group of layers as the native operator is told of it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int64, c_void_p
from typing import Any

from torch import Tensor

from selfmoe.mixture.forward.parts import LayerGroup, RoutedLayer, Views


class _Group(ctypes.Structure):
    _fields_ = (
        ("experts", c_int64),
        ("layers", c_int64),
        ("width", c_int64),
        ("spans", c_void_p),
        ("a", c_void_p),
        ("firsts", c_void_p),
        ("b", c_void_p),
        ("features", c_void_p),
    )


class Described:
    """Numbers and addresses of a group's factors.

    Args:
        parts: The layers.
        views: Their factors.
        experts: How many experts there are.

    Attributes:
        address: Where the operator reads all this.
        row: Makes an array of one address a layer.
    """

    def __init__(self, parts: Sequence[RoutedLayer], views: Views, experts: int) -> None:
        self._tensors = (views.a, *views.b_t)
        self._found_at = [tensor.data_ptr() for tensor in self._tensors]
        self._whole = [tensor.contiguous() for tensor in self._tensors]
        addresses = [tensor.data_ptr() for tensor in self._whole]
        self.row: Any = c_void_p * len(parts)
        firsts = [sum(part.rank for part in parts[:i]) for i in range(len(parts))]
        numbers = c_int64 * len(parts)
        self._kept = (
            _spans(parts, experts),
            numbers(*firsts),
            self.row(*addresses[1:]),
            numbers(*(part.widths[1] for part in parts)),
        )
        spans, first_rows, b, features = (ctypes.addressof(array) for array in self._kept)
        width, a = parts[0].widths[0], addresses[0]
        self._group = _Group(experts, len(parts), width, spans, a, first_rows, b, features)
        self.address = ctypes.addressof(self._group)

    def stands(self) -> bool:
        """Return whether the factors still lie where they were found."""
        return [tensor.data_ptr() for tensor in self._tensors] == self._found_at


def _spans(parts: Sequence[RoutedLayer], experts: int) -> ctypes.Array[c_int64]:
    """Return first row and number of rows of every expert in every layer."""
    found = (c_int64 * (2 * len(parts) * experts))()
    for number, part in enumerate(parts):
        for expert, span in part.spans.items():
            place = 2 * (number * experts + expert)
            found[place : place + 2] = [span.start, span.stop - span.start]
    return found


def described(group: LayerGroup, experts: int) -> Described:
    """Return a group's factors for the operator, made when they are first asked for.

    Args:
        group: Layers that read the same input, with factors in float32.
        experts: How many experts there are.
    """
    views = group.packed.views()
    found = views.made.get("native")
    if not (isinstance(found, Described) and found.stands()):
        found = views.made["native"] = Described(group.parts, views, experts)
    return found


def contiguous(tensors: Sequence[Tensor]) -> list[int]:
    """Return the addresses of those tensors, of any shapes, that lie in one piece."""
    return [tensor.data_ptr() for tensor in tensors if tensor.is_contiguous()]
