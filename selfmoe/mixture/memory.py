"""What gates need from outside the running forward: a pass of the base alone, or past decisions.

Both are kept with the KV cache, by a companion, so that cached and uncached forwards agree.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from selfmoe.components import Gate
from selfmoe.mixture.companions import (
    CompanionCache,
    CompanionRows,
    cache_in,
    cache_of,
    companion_of,
    empty_twin,
    join,
    past_length,
    torn,
)
from selfmoe.mixture.kernels.weights import Weights
from selfmoe.mixture.scope import Scope

_ASKED_OF_THE_MODEL = ("output_hidden_states", "output_attentions", "return_dict")


class Memory:
    """Prepares the scope of a forward, and keeps what later forwards need of it.

    Attributes:
        owner: Marks the companions that are its own.
    """

    def __init__(self) -> None:
        self.owner = uuid.uuid4().hex

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Prepare the scope of a forward with these arguments; experts are off meanwhile."""
        raise NotImplementedError

    def end(self, scope: Scope, arguments: Mapping[str, Any], output: Any) -> None:
        """Keep what is to be kept, if the forward has a cache."""
        cache = arguments.get("past_key_values")
        cache = cache_in(output) if cache is None else cache
        if scope.companion is not None and hasattr(cache, "layers"):
            join(cache, scope.companion)


class BasePass(Memory):
    """The final hidden states of the base alone, for every token.

    The base keeps a cache of its own, which accompanies the caller's.

    Args:
        stack: The module whose forward runs all blocks once.
    """

    def __init__(self, stack: nn.Module) -> None:
        super().__init__()
        self._stack = stack

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Run the base on the tokens of the forward, after those of its own cache."""
        own = self._own(cache_of(arguments))
        output = self.run(arguments, own)
        scope.base = output[0]
        own = cache_in(output) if own is None else own
        scope.companion = None if own is None else CompanionCache(self.owner, own)

    def run(self, arguments: Mapping[str, Any], cache: Any) -> Any:
        """Return the stack's output for the arguments of a forward, but with another cache.

        No gradient flows back from it: it is a constant to the router, as in X-LoRA.
        """
        given = {name: x for name, x in arguments.items() if name not in _ASKED_OF_THE_MODEL}
        with torch.no_grad():
            return self._stack.forward(**{**given, "past_key_values": cache})

    def _own(self, cache: Any) -> Any:
        length = past_length(cache)
        if length == 0:
            return empty_twin(cache)
        own = companion_of(cache, self.owner).cache
        if past_length(own) != length:
            raise torn(f"they hold {length} and {past_length(own)} tokens")
        return own


class Decisions(Memory):
    """One decision a sequence, taken in its first forward and held.

    Args:
        base: Runs the base before that forward, for gates that read it.
    """

    def __init__(self, base: BasePass | None) -> None:
        super().__init__()
        self._base = base

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Look up what was decided, unless the sequences begin with this forward."""
        cache = cache_of(arguments)
        if past_length(cache) > 0:
            rows = companion_of(cache, self.owner).rows
            ids = arguments.get("input_ids")
            batch, time = (arguments["inputs_embeds"] if ids is None else ids).shape[:2]
            if len(rows) != batch:
                raise torn(f"the router has decided on {len(rows)} sequences, here are {batch}")
            scope.weights, scope.decided = Weights(rows.expand(-1, time, -1)), True
        elif self._base is not None:
            scope.base = self._base.run(arguments, empty_twin(cache))[0]

    def end(self, scope: Scope, arguments: Mapping[str, Any], output: Any) -> None:
        """Keep the decision with the cache."""
        if scope.weights is not None:
            scope.companion = CompanionRows(self.owner, scope.weights.given[:, :1])
        super().end(scope, arguments, output)


def memory_of(gate: Gate, stack: nn.Module) -> Memory | None:
    """Return what a gate needs of the forwards of a decoder stack, or ``None`` if nothing."""
    base = BasePass(stack) if gate.reads == "base_final_hidden" else None
    return Decisions(base) if gate.site == "sequence" else base
