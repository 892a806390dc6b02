"""A KV cache with rows that come and go.

Every layer keeps its keys and values in buffers with room for more rows and more columns, so that a
step writes one column instead of copying all of them. Rows end at the same column; shorter ones
begin later, and what is before their beginning is masked.

A mixture that keeps a second cache with the first (a companion, see `selfmoe.mixture.forward`) has
it as one more layer with an attribute ``cache``; all that is done to rows is done to its layers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

_ALIGNED = 64
"""Bytes that memory begins at a multiple of, as torch's own does: products may round by it."""

_ATTENTION = (DynamicLayer, DynamicSlidingWindowLayer)


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, in buffers of shape ``(slots, heads, columns, width)``.

    A sliding window is left to the mask, so that rows can begin anywhere.

    Args:
        is_sliding: Whether the layer sees a window only.
        columns: Columns to make room for.

    Attributes:
        rows: Slots in use; the first ones.
        first: The first column in use.
        last: The column after the last one in use.
    """

    def __init__(self, is_sliding: bool, columns: int) -> None:
        super().__init__()
        self.is_sliding = is_sliding
        self.rows = self.first = self.last = 0
        self._columns = columns
        self._buffers: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make buffers for states of shape ``(batch, heads, time, width)``."""
        if not self.rows:
            self.rows = key_states.shape[0]
        self.hold(self.rows, (key_states, value_states), whole=True)

    def hold(self, slots: int, like: tuple[Tensor, Tensor], *, whole: bool = False) -> None:
        """Make buffers for rows like those of other states.

        Args:
            slots: How many rows.
            like: Keys and values of shape ``(batch, heads, time, width)``.
            whole: Whether each column is written in all rows before it is read. Otherwise it holds
                zeros: what is masked is multiplied by zero, and must be a number.
        """
        make = Tensor.new_empty if whole else zeros
        one, two = (make(x, (slots, x.shape[1], self._columns, x.shape[3])) for x in like)
        self._buffers = (one, two)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write new columns; return all in use, shape ``(batch, heads, columns, width)``."""
        if self._buffers is None:
            self.lazy_initialization(key_states, value_states)
        start, self.last = self.last, self.last + key_states.shape[2]
        keys, values = self.buffers
        keys[: self.rows, :, start : self.last] = key_states
        values[: self.rows, :, start : self.last] = value_states
        used = slice(self.rows), slice(None), slice(self.first, self.last)
        return keys[used], values[used]

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        """Keys and values, of shape ``(slots, heads, columns, width)``."""
        assert self._buffers is not None
        return self._buffers

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns the next forward sees, and that they begin with the first."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of columns in use."""
        return self.last - self.first

    def get_max_length(self) -> int:
        """Return -1: there is no longest length that a caller should know of."""
        return -1

    def take(self, other: SlotLayer, theirs: int, mine: int, tokens: int) -> None:
        """Let a row hold the first tokens of a row of another layer, up to the last column."""
        if self._buffers is None:
            self.hold(self.rows, other.buffers)
        for to, source in zip(self.buffers, other.buffers, strict=True):
            to[mine, :, self.last - tokens : self.last] = source[theirs, :, :tokens]

    def move(self, source: int, to: int) -> None:
        """Let a row hold what another one does."""
        for buffer in self.buffers:
            buffer[to, :, self.first : self.last] = buffer[source, :, self.first : self.last]

    def shift(self, columns: int) -> None:
        """Move everything towards the first column, or away from it where the number is below 0."""
        first, last = self.first - columns, self.last - columns
        for buffer in self.buffers:
            buffer[: self.rows, :, first:last] = buffer[
                : self.rows, :, self.first : self.last
            ].clone()
        self.first, self.last = first, last

    def grow(self, slots: int, columns: int) -> None:
        """Make room for more rows and columns."""
        self._columns, old = columns, self.buffers
        self.hold(slots, old)
        used = slice(self.rows), slice(None), slice(self.first, self.last)
        for to, source in zip(self.buffers, old, strict=True):
            to[used] = source[used]

    def spread(self, rows: int, columns: int) -> SlotLayer:
        """Return a layer that holds the only row of this one several times, with more room."""
        wide = SlotLayer(self.is_sliding, columns)
        wide.rows, wide.last = rows, self.last
        wide.hold(rows, self.buffers, whole=True)
        for to, source in zip(wide.buffers, self.buffers, strict=True):
            to[:, :, : self.last] = source[:1, :, : self.last]
        return wide


def zeros(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return zeros of the kind of another tensor.

    On a CPU the system gives memory that holds zeros when it is first touched: slots that no row
    ever takes, and columns that none reaches, cost nothing.

    Args:
        like: Says type and device.
        shape: Of what is returned.
    """
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    size = prod(shape) * like.element_size()
    memory = torch.from_numpy(np.zeros(size + _ALIGNED, np.uint8))
    start = -memory.data_ptr() % _ALIGNED
    return memory[start : start + size].view(like.dtype).view(*shape)


def slots_for(model: nn.Module, columns: int) -> DynamicCache | None:
    """Return an empty cache for a model; ``None`` if it keeps more than keys and values.

    Args:
        model: A causal language model of transformers.
        columns: Columns to make room for.
    """
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) not in _ATTENTION for layer in cache.layers):
        return None
    cache.layers = [SlotLayer(layer.is_sliding, columns) for layer in cache.layers]
    return cache


def layers_of(cache: Any) -> Iterator[SlotLayer]:
    """Yield the layers of a cache, and of those that follow it."""
    for layer in cache.layers:
        if isinstance(layer, SlotLayer):
            yield layer
        elif hasattr(layer, "cache"):
            yield from layers_of(layer.cache)


def spread(cache: Any, rows: int, columns: int) -> Any:
    """Return a cache that holds the only row of another one several times, with more room."""
    return _rebuilt(cache, lambda layer: layer.spread(rows, columns))


def alike(cache: Any, slots: int, columns: int, last: int) -> Any:
    """Return a cache of the structure of another one, with empty slots that end at a column."""

    def empty(layer: SlotLayer) -> SlotLayer:
        new = SlotLayer(layer.is_sliding, columns)
        new.hold(slots, layer.buffers)
        new.first = new.last = last
        return new

    return _rebuilt(cache, empty)


def _rebuilt(cache: Any, make: Any) -> Any:
    new = copy.copy(cache)
    new.layers = []
    for layer in cache.layers:
        if isinstance(layer, SlotLayer):
            new.layers.append(make(layer))
        else:
            other = copy.copy(layer)
            if hasattr(layer, "cache"):
                other.cache = _rebuilt(layer.cache, make)
            new.layers.append(other)
    return new
