"""How far the distributions of a student are from those of a teacher, with the full vocabulary.

Both are made of hidden states by the same output head, a few tokens at a time, at temperature 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from selfmoe.kits.trainers.ends import Ends
from selfmoe.models.fitting.chunks import Head, chunked

Direction = Literal["forward", "reverse"]
"""``forward``: KL(teacher || student); ``reverse``: KL(student || teacher)."""


@dataclass(frozen=True)
class Divergence:
    """Sums the divergences of tokens.

    Attributes:
        head: Makes logits of states.
        ends: What counts as end-of-text for the teacher.
        direction: Which of the two divergences.
        mix: Share of the loss on the tokens themselves, in 0..1; needs ``forward``.
        known_ends: Whether the teacher ended where the targets do: there all it gives is
            end-of-text, whatever tokens it wrote to end with.
    """

    head: Head
    ends: Ends
    direction: Direction = "forward"
    mix: float = 0.0
    known_ends: bool = False

    def __call__(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over all tokens as a float32 scalar.

        Args:
            student: The states that the head reads, shape ``(tokens, width)``.
            teacher: Those of the teacher, of the same shape; constant.
            targets: The tokens behind them, shape ``(tokens,)``.
        """
        return chunked(self.head, student, partial(self._learn, teacher, targets))

    def _learn(
        self, teacher: Tensor, targets: Tensor, logits: Tensor, some: slice
    ) -> tuple[Tensor, Tensor]:
        wanted = self._wanted(teacher[some], targets[some])
        given = log_softmax(logits.detach().float(), -1)
        if self.direction == "reverse":
            loss, gradient = _reverse(given, wanted)
        else:
            loss, gradient = _forward(given, wanted, targets[some], self.mix)
        return loss, gradient.to(logits.dtype)

    @torch.no_grad()
    def _wanted(self, states: Tensor, targets: Tensor) -> Tensor:
        """Return the teacher's log-probabilities, shape ``(tokens, vocabulary)``."""
        logs = self.ends.counted(log_softmax(self.head(states).float(), -1))
        if self.known_ends:
            ended = targets == self.ends.text
            logs[ended] = -torch.inf
            logs[ended, self.ends.text] = 0.0
        return logs


def _forward(given: Tensor, wanted: Tensor, targets: Tensor, mix: float) -> tuple[Tensor, Tensor]:
    """Return the sum of ``(1 - mix) KL(wanted || given) + mix CE`` and its gradient for logits."""
    shares = wanted.exp()
    apart = _expected(shares, wanted, given).sum()
    right = targets[:, None]
    loss = (1 - mix) * apart - mix * given.gather(1, right).sum()
    gradient = given.exp().sub_(shares, alpha=1 - mix)
    return loss, gradient.scatter_add_(1, right, gradient.new_full(right.shape, -mix))


def _reverse(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of ``KL(given || wanted)`` and its gradient for the logits of ``given``."""
    shares = given.exp()
    parts = _expected(shares, given, wanted)
    apart = parts.sum(-1, keepdim=True)
    return apart.sum(), parts - shares * apart


def _expected(shares: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return ``shares * (one - other)``, 0 where the shares are."""
    return torch.where(shares > 0, shares * (one - other), 0.0)
