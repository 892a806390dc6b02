"""A group of layers as the native operator is told of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_int64, c_void_p
from typing import Any

from selfmoe.mixture.forward.kernels.native.library import native
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
        add: The operator.

    Attributes:
        address: Where the operator reads all this.
        row: Makes an array of one address a layer.
        add: The operator.
    """

    def __init__(
        self, parts: Sequence[RoutedLayer], views: Views, experts: int, add: Callable[..., int]
    ) -> None:
        self.add = add
        self._of = views.of  # held, so that no other factors can come to lie where these do
        self._found_at = [(a.data_ptr(), b.data_ptr()) for a, b in views.of]
        self._whole = [tensor.contiguous() for tensor in (views.a, *views.b_t)]
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

    def stands(self, parts: Sequence[RoutedLayer]) -> bool:
        """Return whether the factors of these layers still lie where they were found.

        Looks where modules keep their buffers, as ``Packed.views`` does.
        """
        for part, (a, b) in zip(parts, self._found_at):  # noqa: B905 - as many, and often asked
            buffers: Mapping[str, Any] = part._buffers
            if buffers["a"].data_ptr() != a or buffers["b"].data_ptr() != b:
                return False
        return True


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

    Raises:
        RuntimeError: If the operator is not there.
    """
    made = group.packed.made()
    found = made.get("native")
    if not (isinstance(found, Described) and found.stands(group.parts)):
        library = native().library
        if library is None:
            raise RuntimeError(f"there is no native operator: {native().found}")
        views = group.packed.views()
        found = Described(group.parts, views, experts, library.selfmoe_add)
        made["native"] = found
    return found
