"""Companions: what belongs to the same sequences as a KV cache and follows it wherever it goes.

A cache lives with its caller. Beam search reorders its rows, assisted decoding crops its end, and
callers copy it, pick rows of it or repeat them. What a mixture keeps for these sequences has to go
through the same, so it travels inside: as one more layer of the cache, behind those of the model.
Models and masks pass over it as they do over the layers of a model that have no attention.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from transformers.cache_utils import DummyLayer

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.caches import past_length


class Companion(DummyLayer):  # type: ignore[misc]
    """A layer of a cache that is a mixture's own; it counts tokens where no other layer does.

    Args:
        owner: Names the mixture.

    Attributes:
        owner: The same.
        tokens: How many tokens the cache holds.
    """

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner, self.tokens = owner, 0

    def reset(self) -> None:
        """Forget all tokens."""
        self.tokens = 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens; their number is given as a negative one."""
        self.tokens -= abs(tokens_to_remove)


class CompanionCache(Companion):
    """A second cache of the same sequences; all that is done to the first is done to it.

    Args:
        owner: Names the mixture.
        cache: The second cache.
    """

    def __init__(self, owner: str, cache: Any) -> None:
        super().__init__(owner)
        self.cache = cache

    def reset(self) -> None:
        """Forget all tokens."""
        super().reset()
        self.cache.reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens; their number is given as a negative one."""
        super().crop(tokens_to_remove)
        self.cache.crop(tokens_to_remove)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let row i become what row ``beam_idx[i]`` was; its shape is ``(batch,)``."""
        self.cache.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self.cache.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows: those of the numbers given, shape ``(kept,)``."""
        self.cache.batch_select_indices(indices)

    def activate_past_recording(self) -> None:
        """Keep what sliding windows leave behind, until the next ``crop``."""
        self.cache.activate_past_recording()

    @property
    def record_past(self) -> bool:
        """Whether anything keeps what sliding windows leave behind."""
        return any(getattr(layer, "record_past", False) for layer in self.cache.layers)

    @record_past.setter
    def record_past(self, on: bool) -> None:
        for layer in self.cache.layers:
            if hasattr(layer, "record_past"):
                layer.record_past = on


class CompanionRows(Companion):
    """One row for each sequence, the same for all of its tokens.

    Args:
        owner: Names the mixture.
        rows: Shape ``(batch, ...)``.
    """

    def __init__(self, owner: str, rows: Tensor) -> None:
        super().__init__(owner)
        self.rows = rows

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let row i become what row ``beam_idx[i]`` was; its shape is ``(batch,)``."""
        self.rows = self.rows.index_select(0, beam_idx.to(self.rows.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self.rows = self.rows.repeat_interleave(repeats, dim=0)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows: those of the numbers given, shape ``(kept,)``."""
        self.rows = self.rows[indices]


def join(cache: Any, companion: Companion) -> None:
    """Let a companion follow a cache from now on, in the place of any other."""
    cache.layers[:] = [*_of_the_model(cache), companion]


def empty_twin(cache: Any) -> Any:
    """Return an empty cache of the kind of an empty cache, or ``None`` if there is none."""
    if cache is None:
        return None
    twin = copy.copy(cache)
    twin.layers = copy.deepcopy(_of_the_model(cache))
    return twin


def _of_the_model(cache: Any) -> list[Any]:
    return [layer for layer in cache.layers if not isinstance(layer, Companion)]


def known_length(cache: Any, owner: str) -> int | None:
    """Return how many tokens a cache holds, by its own count or by that of a mixture's companion.

    ``None`` if neither can tell: somebody else has filled a cache that does not count.
    """
    length, companion = past_length(cache), _companion(cache, owner)
    return companion.tokens if length is None and companion is not None else length


def companion_of(cache: Any, owner: str) -> Any:
    """Return a mixture's companion of a cache that holds tokens.

    Raises:
        CompositionError: If there is none: somebody else has filled the cache.
    """
    companion = _companion(cache, owner)
    if companion is not None:
        return companion
    raise CompositionError(
        f"the cache holds {past_length(cache) or 'some'} tokens that this mixture has not seen: "
        "the base alone or another mixture has filled it. This router keeps state with the cache; "
        "start with an empty one while the mixture is attached"
    )


def _companion(cache: Any, owner: str) -> Companion | None:
    for layer in getattr(cache, "layers", ()):
        if isinstance(layer, Companion) and layer.owner == owner:
            return layer
    return None


def torn(what: str) -> CompositionError:
    """Return the error for a cache and a companion that do not fit each other any more."""
    return CompositionError(
        f"the cache and what the router keeps with it have come apart: {what}. Use the methods of "
        "the cache (crop, reorder_cache, batch_select_indices, batch_repeat_interleave, reset) to "
        "change it, or start with an empty one"
    )
