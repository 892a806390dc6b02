"""Where a forward keeps its past: the one place that knows a cache, whatever its name and kind.

transformers has called it ``past_key_values``, ``cache_params`` and, from 5.24 on, ``cache``; a
caller may hand it over under an old name. A cache is known by its type first and by its name
second, so that what nobody knows is never taken for no cache at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.models.caches import NAMES

_OTHER_NAMES = (
    "past_key_value",
    "past",
    "layer_past",
    "kv_cache",
    "state",
    "mems",
    "past_buckets_states",
)
_PLAIN = (Tensor, bool, int, float, str)


def cache_of(arguments: Mapping[str, Any]) -> Any:
    """Return the cache among the arguments of a forward, or ``None``.

    Raises:
        NotSupportedError: If there is more than one.
    """
    caches = {id(value): name for name, value in _pasts(arguments)}
    if not caches:
        return None
    if len(caches) > 1:
        raise NotSupportedError(
            f"the forward is given several caches ({', '.join(sorted(caches.values()))}); a "
            "mixture follows one: give the decoder's alone"
        )
    return arguments[next(iter(caches.values()))]


def followed_cache(arguments: Mapping[str, Any]) -> Any:
    """Return the cache among the arguments of a forward if a companion can follow it, or ``None``.

    Raises:
        NotSupportedError: If the model keeps its past in something that nothing can follow.
    """
    cache = cache_of(arguments)
    if cache is not None and not (isinstance(cache, Cache) and hasattr(cache, "layers")):
        raise cannot_follow(type(cache).__name__)
    return cache


def cannot_follow(what: str) -> NotSupportedError:
    """Return the error for a past that a router's state cannot follow."""
    return NotSupportedError(
        f"this router keeps state with the cache, and cannot with {what}; run the model without a "
        "cache (check=False to attach it, use_cache=False to run it) or choose another router"
    )


def cache_in(output: Any) -> Any:
    """Return the cache among the outputs of a forward, or ``None``."""
    values = tuple(output.values()) if isinstance(output, Mapping) else output
    values = values if isinstance(values, tuple) else ()
    # A list: torch.compile of torch 2.8 knows no default of ``next``.
    caches = [value for value in values if isinstance(value, Cache)]
    return caches[0] if caches else None


def unknown_in(output: Any) -> list[str]:
    """Return the names of what a forward's outputs hold of its past in a form nobody follows."""
    names = output if isinstance(output, Mapping) else {}
    return [name for name in names if name in _OTHER_NAMES]


def past_length(cache: Any) -> int | None:
    """Return how many tokens a cache holds, 0 if there is none; ``None`` if it cannot tell.

    Caches of attention count them. Those of state spaces do not; they hold none as long as no
    layer has a state.
    """
    if cache is None:
        return 0
    length = getattr(cache, "get_seq_length", None)
    if length is not None:
        try:
            return int(length())
        except ValueError:  # what transformers raises where no layer counts
            pass
    states = [getattr(layer, "has_previous_state", None) for layer in _layers(cache)]
    known = [state for state in states if isinstance(state, Mapping)]
    return 0 if known and not any(any(state.values()) for state in known) else None


def _layers(cache: Any) -> list[Any]:
    return list(getattr(cache, "layers", ()))


def _pasts(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what may be the past of a forward, with its name."""
    for name, value in arguments.items():
        if value is None or isinstance(value, _PLAIN):
            continue
        named = name in NAMES or name in _OTHER_NAMES or "Cache" in type(value).__name__
        if named or isinstance(value, Cache):
            yield name, value
