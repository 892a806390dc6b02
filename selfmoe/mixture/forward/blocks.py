"""Decoder blocks that route: the weights α are computed inside the block's own forward.

transformers checkpoints a block's ``forward`` and leaves its hooks out of the recomputation, so a
hook cannot compute α. Instead the instance gets a generated subclass of its class. ``__call__``,
which a recomputation does not enter, hands over the scope; ``forward``, which it does, asks the
gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import Gate, Site, TokenInfo
from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.kernels import AUTO
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.running import Running
from selfmoe.mixture.forward.scope import Scope
from selfmoe.mixture.forward.sharing import Member
from selfmoe.mixture.forward.shelf import Shelf
from selfmoe.models.structure import own_states

STATE = "selfmoe_state"


class Block:
    """What routing knows about one decoder block.

    Args:
        index: Its number.
        gate: The gate of the mixture.
        running: What the mixture is doing in the thread that asks.
        kernel: The kernel that is asked for.

    Attributes:
        shelf: Where its experts are, if not all of them are in memory.
    """

    shelf: Shelf | None = None

    def __init__(self, index: int, gate: Gate, running: Running, kernel: str = AUTO) -> None:
        self.index, self.gate, self.running, self.kernel = index, gate, running, kernel
        self._site = Site(index)
        self._seen: list[tuple[Member, Tensor]] | None = None

    def enter(self, hidden: Tensor) -> Scope:
        """Return the scope of the forward this block is called in.

        Args:
            hidden: What enters the block, shape ``(batch, time, width)``.
        """
        scope = self.running.scope or Scope(TokenInfo())
        if self.index == 0 or scope.entry is None:
            scope.entry = hidden
        return scope

    def begin(self, hidden: Tensor, scope: Scope) -> None:
        """Compute what the linears of this block need, unless they ask for themselves.

        Args:
            hidden: What enters the block, shape ``(batch, time, width)``.
            scope: Of the forward.
        """
        running = self.running
        if self.shelf is not None:
            self.shelf.lock.acquire()
        running.block, running.block_scope, running.rows = self, scope, hidden.shape[:-1]
        if scope.plain or self._seen is not None:
            return
        if self.gate.site in ("sequence", "token"):
            running.weights = self._live(self._once(hidden, scope))
        elif self.gate.site == "block":
            running.weights = self._live(self._ask(hidden, None, scope))

    def end(self) -> None:
        """Forget the forward."""
        running = self.running
        weights, running.weights = running.weights, None
        running.block = running.block_scope = None
        if weights is not None:
            weights.held.clear()
        if self.shelf is not None:
            self.shelf.lock.release()

    @contextmanager
    def watched(self) -> Iterator[list[tuple[Member, Tensor]]]:
        """Let forwards within be those of the base alone, and note what linears are given.

        Yields:
            The linears that have run and the input of each, shape ``(..., in)``, in their order.
        """
        seen: list[tuple[Member, Tensor]] = []
        self._seen = seen
        try:
            yield seen
        finally:
            self._seen = None

    def weigh(self, x: Tensor, part: Member) -> Weights | None:
        """Return the weights for the input of one of this block's linears; ``None``: no expert.

        To be called where there are none for all of them.

        Args:
            x: Shape ``(..., in)``.
            part: What experts add to that linear.

        Raises:
            CompositionError: If another block is running, or none.
        """
        scope = self.running.block_scope
        if scope is None or self.running.block is not self:
            raise CompositionError(f"{part.name} was run outside its decoder block")
        if self._seen is not None:
            self._seen.append((part, x))
            return None
        if scope.plain:
            return None
        return self._live(self._ask(self._by_rows(x), part.name, scope))

    def _live(self, weights: Weights) -> Weights:
        """Return the weights of those experts that are in memory; others have none."""
        return weights if self.shelf is None else Weights(self.shelf.take(weights.given))

    def _by_rows(self, x: Tensor) -> Tensor:
        """Return the input of a linear as ``(batch, time, width)``; some are given a flat one."""
        rows = self.running.rows
        flat = x.dim() == 2 and x.shape[0] == rows.numel()
        return x.reshape(*rows, x.shape[-1]) if flat else x

    def _once(self, hidden: Tensor, scope: Scope) -> Weights:
        # With autograd every block computes it anew: reentrant checkpointing frees shared graphs.
        if scope.weights is None or (torch.is_grad_enabled() and not scope.decided):
            weights = self._ask(hidden, None, scope)
            scope.weights = Weights(weights.given.detach())
            return weights
        if scope.record is not None and scope.running:
            scope.record.add(self.index, scope.weights.given, scope.info)
        return scope.weights

    def _ask(self, x: Tensor, linear: str | None, scope: Scope) -> Weights:
        site = self._site if linear is None else Site(self.index, linear)
        alpha = scope.weighed(self.gate(self._read(x, scope), site, scope.told()))
        if scope.record is not None and scope.running:
            scope.record.add(self.index, alpha, scope.info)
        return Weights(alpha)

    def _read(self, x: Tensor, scope: Scope) -> Tensor:
        """Return what the gate reads."""
        if self.gate.reads == "embedding":
            assert scope.entry is not None
            return scope.entry
        if self.gate.reads == "base_final_hidden":
            if scope.base is None:
                raise CompositionError(
                    f"decoder block {self.index} was run by itself; the router reads the final "
                    "hidden states of the base, so run the whole model"
                )
            return scope.base
        return x


@cache
def routed_class(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of a block class that routes; it goes by the same name."""

    class Routed(cls):  # type: ignore[valid-type, misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            kwargs["selfmoe_scope"] = getattr(self, STATE).enter(_hidden(self, args, kwargs))
            return super().__call__(*args, **kwargs)

        def forward(self, *args: Any, selfmoe_scope: Scope, **kwargs: Any) -> Any:
            state: Block = getattr(self, STATE)
            hidden = _hidden(self, args, kwargs)
            try:
                state.begin(hidden, selfmoe_scope)
                return super().forward(*args, **kwargs)
            finally:
                state.end()

    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(Routed, attribute, getattr(cls, attribute))
    return Routed


def _hidden(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return own_states(block, args[0] if args else kwargs["hidden_states"])
