"""What gates need from outside the running forward: a pass of the base alone, or past decisions.

Both are kept with the KV cache, by a companion, so that cached and uncached forwards agree.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from selfmoe.contracts.composer import Gate, TwoLevelGate
from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.caches import (
    cache_in,
    cache_of,
    followed_cache,
    past_length,
)
from selfmoe.mixture.forward.companions import (
    Companion,
    CompanionCache,
    CompanionRows,
    companion_of,
    empty_twin,
    join,
    known_length,
    torn,
)
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.scope import Scope
from selfmoe.models.caches import cache_name

_ASKED_OF_THE_MODEL = ("output_hidden_states", "output_attentions", "return_dict")


class Memory:
    """Prepares the scope of a forward, and keeps what later forwards need of it.

    By itself it counts the tokens of caches that do not, so that positions are right.

    Attributes:
        owner: Marks the companions that are its own.
        keeps: What it keeps with the KV cache, in words, so that the past has to be one it can
            follow; ``None`` if that is no more than a count.
    """

    keeps: str | None = None

    def __init__(self) -> None:
        self.owner = uuid.uuid4().hex

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Prepare the scope of a forward with these arguments; experts are off meanwhile."""

    def end(self, scope: Scope, arguments: Mapping[str, Any], output: Any) -> None:
        """Keep what is to be kept, if the forward has a cache."""
        cache = cache_of(arguments)
        cache = cache_in(output) if cache is None else cache
        if not hasattr(cache, "layers") or scope.past is None:
            return
        if scope.companion is None and past_length(cache) is None:
            scope.companion = Companion(self.owner)
        if scope.companion is not None:
            scope.companion.tokens = scope.past + _shape(arguments)[1]
            join(cache, scope.companion)


class BasePass(Memory):
    """The final hidden states of the base alone, for every token.

    The base keeps a cache of its own, which accompanies the caller's.

    Args:
        stack: The module whose forward runs all blocks once.
    """

    keeps = "a cache of the base alone"

    def __init__(self, stack: nn.Module) -> None:
        super().__init__()
        self._stack, self._name = stack, cache_name(stack)

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Run the base on the tokens of the forward, after those of its own cache.

        Raises:
            CompositionError: If the cache holds tokens that this mixture has not seen, or the
                base's own cache another number of them.
            NotSupportedError: If nothing can follow the cache.
        """
        own = self._own(followed_cache(arguments))
        output = self.run(arguments, own)
        scope.base = output[0]
        own = cache_in(output) if own is None else own
        scope.companion = None if own is None else CompanionCache(self.owner, own)

    def run(self, arguments: Mapping[str, Any], cache: Any) -> Any:
        """Return the stack's output for the arguments of a forward, but with another cache.

        No gradient flows back from it: it is a constant to the router, as in X-LoRA.
        """
        given = {name: x for name, x in arguments.items() if name not in _ASKED_OF_THE_MODEL}
        name = next((name for name, x in given.items() if isinstance(x, Cache)), self._name)
        with torch.no_grad():
            return self._stack.forward(**(given if name is None else {**given, name: cache}))

    def _own(self, cache: Any) -> Any:
        length = known_length(cache, self.owner)
        if length == 0:
            return empty_twin(cache)
        companion = companion_of(cache, self.owner)
        own = past_length(companion.cache)
        if own is not None and own != length:
            raise torn(f"they hold {length} and {own} tokens")
        return companion.cache


class Decisions(Memory):
    """One decision a sequence, taken in its first forward and held.

    Args:
        base: Runs the base before that forward, for gates that read it.
    """

    keeps = "its decision on each prompt"

    def __init__(self, base: BasePass | None) -> None:
        super().__init__()
        self._base = base

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Look up what was decided, unless the sequences begin with this forward.

        Raises:
            CompositionError: If the cache holds tokens that this mixture has not seen, or it has
                decided on another number of sequences.
            NotSupportedError: If nothing can follow the cache.
        """
        cache = followed_cache(arguments)
        if known_length(cache, self.owner) != 0:
            rows = companion_of(cache, self.owner).rows
            batch, time = _shape(arguments)
            if len(rows) != batch:
                raise torn(f"the router has decided on {len(rows)} sequences, here are {batch}")
            self._recall(scope, rows, time)
        elif self._base is not None:
            scope.base = self._base.run(arguments, empty_twin(cache))[0]

    def end(self, scope: Scope, arguments: Mapping[str, Any], output: Any) -> None:
        """Keep the decision with the cache."""
        rows = self._rows(scope)
        if rows is not None:
            scope.companion = CompanionRows(self.owner, rows)
        super().end(scope, arguments, output)

    def _recall(self, scope: Scope, rows: Tensor, time: int) -> None:
        """Let a forward of so many tokens go by what ``_rows`` returned in an earlier one."""
        scope.weights, scope.decided = Weights(rows.expand(-1, time, -1)), True

    def _rows(self, scope: Scope) -> Tensor | None:
        """Return what was decided, a row a sequence, shape ``(batch, ...)``."""
        return None if scope.weights is None else scope.weights.given[:, :1]


class Candidates(Decisions):
    """The experts that a gate of two levels retrieved for each sequence in its first forward.

    Args:
        gate: The gate.
        base: Runs the base before that forward, for gates that retrieve by what it says.
    """

    keeps = "the experts it retrieved for each prompt"

    def __init__(self, gate: TwoLevelGate, base: BasePass | None) -> None:
        super().__init__(base)
        self._gate = gate

    def begin(self, scope: Scope, arguments: Mapping[str, Any]) -> None:
        """Look up what was retrieved, unless the sequences begin with this forward.

        Raises:
            CompositionError: If the cache holds tokens that this mixture has not seen, or it has
                retrieved for another number of sequences.
            NotSupportedError: If nothing can follow the cache.
        """
        scope.retrieve = self._gate.retrieve
        super().begin(scope, arguments)

    def _recall(self, scope: Scope, rows: Tensor, time: int) -> None:
        scope.info = scope.info._replace(candidates=rows)

    def _rows(self, scope: Scope) -> Tensor | None:
        return scope.info.candidates


def memory_of(gate: Gate, stack: nn.Module) -> Memory:
    """Return what keeps what a gate needs of earlier forwards of a decoder stack.

    Raises:
        CompositionError: If a gate of two levels reads at the second what a pass of the base says.
    """
    if isinstance(gate, TwoLevelGate):
        if gate.site == "sequence" or gate.reads == "base_final_hidden":
            raise CompositionError(
                f"a gate of two levels weighs tokens by hidden or embedding; this one reads "
                f"{gate.reads} once a {gate.site}"
            )
        from_base = gate.retrieves_from == "base_final_hidden"
        return Candidates(gate, BasePass(stack) if from_base else None)
    base = BasePass(stack) if gate.reads == "base_final_hidden" else None
    return Decisions(base) if gate.site == "sequence" else base or Memory()


def _shape(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """Return rows and tokens of each in a forward with these arguments."""
    ids = arguments.get("input_ids")
    batch, time = (arguments["inputs_embeds"] if ids is None else ids).shape[:2]
    return batch, time
