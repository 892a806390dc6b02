"""How tokens were routed: what a caller gets who records forwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from selfmoe.contracts.composer import TokenInfo

PARTS = ("all", "prompt", "response")
"""Of the tokens, for which routing is counted apart."""


class Listener(Protocol):
    """Hears how the tokens of forwards are routed."""

    def add(self, block: int, alpha: Tensor, info: TokenInfo) -> None:
        """Hear the weights of one gate call, shape ``(batch, time, n_experts)``."""

    def close(self, info: TokenInfo) -> None:
        """Hear that a forward is over."""


class Trace(NamedTuple):
    """Tokens of one forward and the weights their experts got, averaged over the blocks.

    Attributes:
        input_ids: Shape ``(batch, time)``, or ``None`` if the model was given embeddings.
        weights: Shape ``(batch, time, n_experts)``, float32, on the CPU.
    """

    input_ids: Tensor | None
    weights: Tensor


class Record:
    """How tokens were routed: final weights α by block and expert, padding left out.

    ``part`` is ``all``, ``prompt`` or ``response``; the latter two are known where the caller
    annotated the forward with a ``prompt_mask``.

    Args:
        blocks: How many decoder blocks there are.
        experts: Their names, in gate order.
        trace: Whether the weights of every token are kept too.

    Attributes:
        experts: The same.
        trace: Whether the weights of every token are kept.
        traces: One for each forward that is over, if they are kept.
    """

    def __init__(self, blocks: int, experts: Sequence[str], trace: bool = False) -> None:
        self.experts = tuple(experts)
        self.traces: list[Trace] = []
        self.trace = trace
        self._texts = 1
        self._open: Tensor | None = None
        self._asked = 0
        shape = (blocks, len(self.experts))
        self._sums = {part: torch.zeros(shape, dtype=torch.float64) for part in PARTS}
        self._tokens = {part: torch.zeros(blocks, dtype=torch.float64) for part in PARTS}
        self._bits = {part: torch.zeros(blocks, dtype=torch.float64) for part in PARTS}

    @contextmanager
    def counting(self, texts: int) -> Iterator[None]:
        """Count the tokens of forwards within as those of several texts, which share them.

        Args:
            texts: How many.
        """
        self._texts, before = texts, self._texts
        try:
            yield
        finally:
            self._texts = before

    def tokens(self, part: str = "all") -> int:
        """Return how many tokens the first block has routed (times its linears, if per linear)."""
        return int(self._tokens[part][0])

    def mean(self, part: str = "all") -> Tensor:
        """Return the mean weight α, shape ``(blocks, experts)``; zero where nothing was routed."""
        return self._sums[part] / self._tokens[part].clamp(min=1)[:, None]

    def shares(self, part: str = "all") -> dict[str, float]:
        """Return each expert's share of all weight, averaged over the blocks; they sum to 1."""
        mean = self.mean(part).mean(0)
        shares = mean / mean.sum().clamp(min=1e-12)
        return dict(zip(self.experts, shares.tolist(), strict=True))

    def entropy(self, part: str = "all") -> float:
        """Return how undecided the gate was: the mean entropy of a token's weights, in bits.

        Weights are normalised to sum to 1 token by token; a token without any counts as 0. Averaged
        over the blocks; at most log2 of the number of experts.
        """
        return float((self._bits[part] / self._tokens[part].clamp(min=1)).mean())

    def add(self, block: int, alpha: Tensor, info: TokenInfo) -> None:
        """Count the weights of one gate call.

        Args:
            block: Number of the decoder block.
            alpha: Shape ``(batch, time, n_experts)``.
            info: The tokens.
        """
        alpha = alpha.detach().float()
        mask, prompt = info.attention_mask, info.prompt_mask
        real = torch.ones_like(alpha[..., 0], dtype=torch.bool)
        if mask is not None:
            real = mask[:, -alpha.shape[1] :].bool()
        self._count("all", block, alpha, real)
        if prompt is not None:
            self._count("prompt", block, alpha, real & prompt)
            self._count("response", block, alpha, real & ~prompt)
        if self.trace:
            self._open = alpha if self._open is None else self._open + alpha
            self._asked += 1

    def _count(self, part: str, block: int, alpha: Tensor, chosen: Tensor) -> None:
        sums, bits = alpha[chosen].sum(0, dtype=torch.float64), _bits(alpha[chosen].double()).sum()
        self._sums[part][block] += self._texts * sums.cpu()
        self._tokens[part][block] += self._texts * chosen.sum().cpu()
        self._bits[part][block] += self._texts * bits.cpu()

    def close(self, info: TokenInfo) -> None:
        """Finish the trace of one forward."""
        if self._open is not None:
            ids = None if info.input_ids is None else info.input_ids.cpu()
            self.traces.append(Trace(ids, (self._open / self._asked).cpu()))
        self._open, self._asked = None, 0


def _bits(weights: Tensor) -> Tensor:
    """Return the entropy of each row of weights, once they sum to 1; 0 where all are 0.

    In bits, shape ``(tokens,)`` for weights of shape ``(tokens, n_experts)``.
    """
    shares = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    nats: Tensor = torch.special.entr(shares).sum(-1)
    return nats / math.log(2)
