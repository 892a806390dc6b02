"""The loss on responses, a few tokens at a time.

Nothing in training is as large as logits. Here the gradient of a few tokens' logits is turned into
that of their hidden states at once, in the forward pass, and the next tokens take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.nn.functional import log_softmax

AT_ONCE = 2**23
"""Logits that are held at once, tokens times vocabulary."""

Learn = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
"""Returns the sum of the losses of some of the tokens and its gradient for their logits.

It is given these, shape ``(some, vocabulary)``, and which of the tokens they belong to.
"""


class Head(Protocol):
    """Makes logits of hidden states, of every token by itself.

    Attributes:
        vocabulary: How many logits a token has.
        parameters: What learns in it.
    """

    vocabulary: int
    parameters: list[nn.Parameter]

    def __call__(self, states: Tensor) -> Tensor:
        """Return logits of shape ``(tokens, vocabulary)`` for states ``(tokens, width)``."""


def chunked_loss(head: Head, states: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the tokens' losses, a float32 scalar.

    Args:
        head: Makes logits of the states.
        states: What the head reads, shape ``(tokens, width)``.
        targets: The token that each of them should name, shape ``(tokens,)``.
    """
    return chunked(head, states, lambda logits, some: _learn(logits, targets[some]))


def chunked(head: Head, states: Tensor, learn: Learn) -> Tensor:
    """Return the sum of any losses of tokens, a float32 scalar, with its gradients.

    Args:
        head: Makes logits of the states.
        states: What the head reads, shape ``(tokens, width)``.
        learn: The loss.
    """
    size = max(1, AT_ONCE // head.vocabulary)
    if torch.is_grad_enabled():
        loss: Tensor = _Loss.apply(head, states, learn, size, *head.parameters)  # type: ignore[no-untyped-call]
        return loss
    parts = _parts(len(states), size)
    return sum((learn(head(states[some]), some)[0] for some in parts), _zero(states))


class _Loss(Function):
    """What ``chunked`` does, with the gradients of states and of what learns in the head."""

    @staticmethod
    def forward(
        ctx: Any, head: Head, states: Tensor, learn: Learn, size: int, *learns: Tensor
    ) -> Tensor:
        """Return the sum of the losses, a scalar; gradients are computed on the way."""
        total, found = _zero(states), torch.empty_like(states)
        sums: list[Tensor | None] = [None] * len(learns)
        for part in _parts(len(states), size):
            some = states[part].detach().requires_grad_(True)
            with torch.enable_grad():
                logits = head(some)
            loss, gradient = learn(logits, part)
            total += loss
            found[part], *more = torch.autograd.grad(
                logits, (some, *head.parameters), gradient, allow_unused=True
            )
            sums = [_plus(*pair) for pair in zip(sums, more, strict=True)]
        ctx.found, ctx.sums = found, sums
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return what was computed on the way times the gradient of the sum, a scalar."""
        scaled = [None if one is None else one * grad.to(one.dtype) for one in ctx.sums]
        return None, ctx.found * grad.to(ctx.found.dtype), None, None, *scaled


def _parts(tokens: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]


def _learn(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of tokens, and its gradient for their logits."""
    logs = log_softmax(logits.detach().float(), -1)
    right = targets[:, None]
    loss = -logs.gather(1, right).sum()
    gradient = logs.exp_()
    gradient.scatter_add_(1, right, gradient.new_full(right.shape, -1.0))
    return loss, gradient.to(logits.dtype)


def _plus(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), device=like.device)
