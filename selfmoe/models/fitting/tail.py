"""What a model does behind its decoder blocks, by the model's own code, on any hidden states.

Families scale and cap logits, each in its way. So none of it is repeated here: the model's own
forward runs, with something in the place of its decoder stack that computes nothing, and its output
head is given the states that are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from selfmoe.contracts.errors import CompositionError
from selfmoe.models.structure import final_width, find_decoder


def tail_of(model: Any, blocks: str | None = None) -> Tail | None:
    """Return what a model does behind its decoder blocks.

    Args:
        model: A causal language model of transformers.
        blocks: Name of its list of decoder blocks, where that cannot be told from its structure.

    Returns:
        ``None`` where that cannot be had apart from the rest, or does not give the same logits.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    try:
        stack = find_decoder(model, blocks).path.rpartition(".")[0]
    except CompositionError:
        return None
    if head is None or not stack:
        return None
    tail = Tail(model, stack, head)
    return tail if _holds(tail, final_width(model)) else None


class Tail:
    """A model from its output head on.

    Args:
        model: The model.
        stack: Name of the module whose forward runs all its decoder blocks once.
        head: Its output head.

    Attributes:
        vocabulary: How many logits a token has.
        parameters: What learns in the head.
    """

    vocabulary = 1

    def __init__(self, model: Any, stack: str, head: nn.Module) -> None:
        self._model, self._head = model, head
        above, _, self._name = stack.rpartition(".")
        self._above = model.get_submodule(above)
        self.parameters = [p for p in head.parameters() if p.requires_grad]

    def __call__(self, states: Tensor) -> Tensor:
        """Return the logits of states that the head reads.

        Args:
            states: Shape ``(tokens, width)``.

        Returns:
            Shape ``(tokens, vocabulary)``.
        """
        logits: Tensor = self.run(states.new_zeros(1, 1, states.shape[1]), states[None])[0]
        return logits[0]

    def run(self, ends: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits of what the stack ends with, and what the head reads for them.

        Args:
            ends: What the stack ends with, shape ``(batch, time, width)``.
            given: What the head shall read instead, shape ``(batch, time, width)``.
        """
        tokens = torch.zeros(ends.shape[:2], dtype=torch.long, device=ends.device)
        with self._without_blocks(ends), self._reading(lambda x: given) as seen:
            output = self._model.forward(input_ids=tokens, use_cache=False)
        (read,) = seen
        return output.logits, read

    def states(self, run: Callable[[], object]) -> Tensor:
        """Return what the head would read in a forward, in which it reads a single token.

        Args:
            run: Runs the forward.

        Returns:
            Shape ``(batch, time, width)``.
        """
        with self._reading(lambda x: x[:1, :1]) as seen:
            run()
        (read,) = seen
        return read

    @contextmanager
    def _without_blocks(self, ends: Tensor) -> Iterator[None]:
        stack = getattr(self._above, self._name)
        setattr(self._above, self._name, _Done(stack, ends))
        try:
            yield
        finally:
            setattr(self._above, self._name, stack)

    @contextmanager
    def _reading(self, instead: Callable[[Tensor], Tensor | None]) -> Iterator[list[Tensor]]:
        seen: list[Tensor] = []

        def read(head: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor] | None:
            seen.append(given[0])
            other = instead(given[0])
            return None if other is None else (other,)

        hook = self._head.register_forward_pre_hook(read)
        try:
            yield seen
        finally:
            hook.remove()


class _Done(nn.Module):
    """A decoder stack that has ended.

    Args:
        stack: The stack.
        ends: What it has ended with, shape ``(batch, time, width)``.
    """

    def __init__(self, stack: nn.Module, ends: Tensor) -> None:
        super().__init__()
        self.__dict__["_stack"] = stack  # not a part of this module
        self._ends = ends

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stack"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the stack has ended with, and nothing else."""
        return _Ends(last_hidden_state=self._ends)


@dataclass
class _Ends(BaseModelOutputWithPast):  # type: ignore[misc]
    """The output of a stack of any family, of which there is nothing but the states."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


@torch.no_grad()
def _holds(tail: Tail, width: int) -> bool:
    """Return whether a tail gives each token's logits, whatever tokens stand beside it."""
    like = next(tail._head.parameters(), torch.empty(0))
    ends = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(0)).to(like)
    try:
        with torch.random.fork_rng(devices=[]):
            whole, read = tail.run(ends)
            some = tail(read.flatten(0, 1)[[4, 1, 3]])
            first, _ = tail.run(ends, read[:1, :1])
    except Exception:  # models of others may raise anything where they are used unlike as thought
        return False
    tail.vocabulary = whole.shape[-1]
    expected = whole.flatten(0, 1)
    return _alike(some, expected[[4, 1, 3]]) and _alike(first[0], expected[:1])


def _alike(one: Tensor, other: Tensor) -> bool:
    near = torch.finfo(other.dtype).eps ** 0.5 * other.abs().max()
    return one.shape == other.shape and bool((one - other).abs().max() <= near)
