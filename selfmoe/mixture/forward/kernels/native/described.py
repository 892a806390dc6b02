"""A group of layers as the native operator is told of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_int64, c_void_p
from struct import Struct

import torch
from torch import Tensor

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
        row: Makes an array of one address a layer, as the operator reads it.
        add: The operator.
    """

    def __init__(
        self, parts: Sequence[RoutedLayer], views: Views, experts: int, add: Callable[..., int]
    ) -> None:
        self.add = add
        # held, so that no other factors can come to lie where these do
        self._of = [(part._buffers, a, b) for part, (a, b) in zip(parts, views.of, strict=True)]
        self._found_at = _one_a_storage(tensor for pair in views.of for tensor in pair)
        self._whole = [tensor.contiguous() for tensor in (views.a, *views.b_t)]
        addresses = [tensor.data_ptr() for tensor in self._whole]
        self.row = Struct(f"{len(parts)}P").pack
        firsts = [sum(part.rank for part in parts[:i]) for i in range(len(parts))]
        numbers = c_int64 * len(parts)
        self._kept = (
            _spans(parts, experts),
            numbers(*firsts),
            (c_void_p * len(parts))(*addresses[1:]),
            numbers(*(part.widths[1] for part in parts)),
        )
        spans, first_rows, b, features = (ctypes.addressof(array) for array in self._kept)
        width, a = parts[0].widths[0], addresses[0]
        self._group = _Group(experts, len(parts), width, spans, a, first_rows, b, features)
        self.address = ctypes.addressof(self._group)

    def stands(self) -> bool:
        """Return whether the factors of the layers are still these, and lie where they were found.

        Looks where modules keep their buffers, as ``Packed.views`` does. Memory that is moved below
        the same tensors, as for sharing it with processes, is moved for a whole storage.
        """
        for buffers, a, b in self._of:
            if buffers["a"] is not a or buffers["b"] is not b:
                return False
        for tensor, place in self._found_at:  # noqa: SIM110 - as many frames less, and often asked
            if tensor.data_ptr() != place:
                return False
        return True


def known(group: LayerGroup, experts: int) -> bool:
    """Return whether the operator is, or can be, told of a group's factors; see ``described``."""
    return "native" in group.packed.made() or described(group, experts) is not None


def _one_a_storage(tensors: Iterable[Tensor]) -> list[tuple[Tensor, int]]:
    """Return one tensor of each storage, and its address."""
    found = {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}
    return [(tensor, tensor.data_ptr()) for tensor in found.values()]


def _spans(parts: Sequence[RoutedLayer], experts: int) -> ctypes.Array[c_int64]:
    """Return first row and number of rows of every expert in every layer."""
    found = (c_int64 * (2 * len(parts) * experts))()
    for number, part in enumerate(parts):
        for expert, span in part.spans.items():
            place = 2 * (number * experts + expert)
            found[place : place + 2] = [span.start, span.stop - span.start]
    return found


def described(group: LayerGroup, experts: int) -> Described | None:
    """Return a group's factors for the operator, made when they are first asked for.

    Args:
        group: Layers that read the same input.
        experts: How many experts there are.

    Returns:
        ``None`` if not all factors are in float32.

    Raises:
        RuntimeError: If the operator is not there.
    """
    made = group.packed.made()
    found: Described | None = made.get("native")  # type: ignore[assignment]  # only set below
    if found is None or not found.stands():
        library = native().library
        if library is None:
            raise RuntimeError(f"there is no native operator: {native().found}")
        views = group.packed.views()
        if any(one.dtype != torch.float32 for pair in views.of for one in pair):
            made.pop("native", None)
            return None
        found = Described(group.parts, views, experts, library.selfmoe_add)
        made["native"] = found
    return found
