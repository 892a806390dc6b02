"""What is added to the loss of a gate that learns: even choices and small logits cost less."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from selfmoe.contracts.fitting import IGNORE, Batch


class RoutingPenalty:
    """Load-balance loss and z-loss of a softmax gate over the response tokens of a step.

    Load balance is ``n * sum_i f_i P_i`` (Switch Transformers, equation 4,
    https://arxiv.org/abs/2101.03961): ``f_i`` is the share of tokens whose most probable expert is
    i, a constant to the gradient, ``P_i`` the mean probability of i. The z-loss is the mean of
    ``logsumexp(logits)²`` (ST-MoE, equation 5, https://arxiv.org/abs/2202.08906). Both are means
    over the places where the gate is asked: blocks, or linears.

    Args:
        load_balance: Weight of the load-balance loss.
        z_loss: Weight of the z-loss.
    """

    def __init__(self, load_balance: float, z_loss: float) -> None:
        self._load_balance, self._z_loss = load_balance, z_loss
        self._heard: list[Tensor] = []
        self._chosen: Tensor | None = None

    def watch(self, read: Callable[[Batch], Tensor], gate: Any) -> None:
        """Say how a batch is read, and which gate is listened to.

        Args:
            read: Returns the logits of a batch, shape ``(batch, time, vocabulary)``, or its loss,
                a scalar, as ``forward`` of ``Fitting`` does.
            gate: A ``SoftmaxGate``.
        """
        self._read, self._gate = read, gate

    def begin(self, batches: Sequence[Batch]) -> None:
        """Count the choices of a whole step, which its parts do not know each by itself.

        A step of one part counts them on the way; for several, the model reads them once more.
        """
        self._chosen = None
        if not self._load_balance or len(batches) == 1:
            return
        with torch.no_grad():
            counts = []
            for batch in batches:
                self.forward(batch)
                counts.append(_choices(self._logits(batch)))
        self._chosen = torch.stack(counts).sum(0)

    def forward(self, batch: Batch) -> Tensor:
        """Read a batch and listen to the gate; return what ``read`` returns.

        That is logits, shape ``(batch, time, vocabulary)``, or a sum of losses.
        """
        with self._listening():
            return self._read(batch)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the penalty of the part that ``forward`` read last, times its response tokens."""
        logits = self._logits(batch)
        total = logits.new_zeros(())
        if self._z_loss:
            total = total + self._z_loss * logits.logsumexp(-1).square().sum()
        if self._load_balance:
            chosen = _choices(logits) if self._chosen is None else self._chosen
            shares = chosen / chosen.sum(-1, keepdim=True)
            sums = torch.softmax(logits, -1).sum(1)
            total = total + self._load_balance * logits.shape[-1] * (shares * sums).sum()
        return total / len(logits)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        # Not while blocks are recomputed in the backward pass: the gate is asked again there.
        self._heard = []
        self._gate.listener = self._heard.append
        try:
            yield
        finally:
            self._gate.listener = None

    def _logits(self, batch: Batch) -> Tensor:
        """Return what was heard on response tokens, shape ``(places, tokens, n_experts)``."""
        learned = (batch.labels != IGNORE).flatten()
        return torch.stack([logits.flatten(0, -2)[learned] for logits in self._heard])


def _choices(logits: Tensor) -> Tensor:
    """Return how many tokens would go to each expert, shape ``(places, n_experts)``."""
    return one_hot(logits.argmax(-1), logits.shape[-1]).sum(1)
