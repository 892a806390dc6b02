"""The weights α of one gate call, in the forms in which kernels need them, each made once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

Layout = tuple[tuple[int, int], ...]
"""Whose the rows of stacked factors are: expert and rank, one after the other."""


class Order(NamedTuple):
    """Tokens sorted by the experts they use; a token that uses two is there twice.

    Attributes:
        tokens: Their numbers, shape ``(uses,)``.
        weights: The weight of each use, shape ``(uses, 1)``.
        spans: Which uses are an expert's, for those that have any.
    """

    tokens: Tensor
    weights: Tensor
    spans: tuple[tuple[int, slice], ...]


class Weights:
    """What a gate has said of some tokens.

    Args:
        given: Its answer α, shape ``(batch, time, n_experts)``.

    Attributes:
        given: The same.
        alpha: The same, of shape ``(tokens, n_experts)``.
        tokens: How many there are.
    """

    def __init__(self, given: Tensor) -> None:
        self.given = given
        self.alpha = given.reshape(-1, given.shape[-1])
        self.tokens = self.alpha.shape[0]
        self._rows: dict[tuple[Layout, torch.dtype], Tensor] = {}
        self._active: list[tuple[int, float]] | None = None
        self._uses: int | None = None
        self._order: Order | None = None

    def rows(self, layout: Layout, owner: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weight of every rank-one part, without gradient, shape ``(tokens, R)``.

        Args:
            layout: Identifies ``owner``.
            owner: The expert of each of R parts.
            dtype: Of the result.
        """
        if (layout, dtype) not in self._rows:
            spread = self.alpha.detach().index_select(1, owner)
            self._rows[layout, dtype] = spread.to(dtype)
        return self._rows[layout, dtype]

    def active(self) -> list[tuple[int, float]]:
        """Return the experts that the one token uses, with their weights."""
        if self._active is None:
            row = self.alpha.tolist()[0]
            self._active = [(i, weight) for i, weight in enumerate(row) if weight != 0]
        return self._active

    def uses(self) -> int:
        """Return how many weights are not zero."""
        if self._uses is None:
            self._uses = int(torch.count_nonzero(self.alpha))
        return self._uses

    def order(self) -> Order:
        """Return the tokens sorted by expert."""
        if self._order is None:
            experts, tokens = self.alpha.t().nonzero().unbind(1)
            weights = self.alpha[tokens, experts].unsqueeze(1)
            spans, start = [], 0
            counts = torch.bincount(experts, minlength=self.alpha.shape[1])
            for i, count in enumerate(counts.tolist()):
                if count:
                    spans.append((i, slice(start, start + count)))
                    start += count
            self._order = Order(tokens, weights, tuple(spans))
        return self._order
