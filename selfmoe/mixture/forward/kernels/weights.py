"""The weights α of one gate call, in the forms in which kernels need them, each made once.

Beside them what a kernel is: weights remember the one that was chosen for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from selfmoe.mixture.forward.parts import LayerGroup, Layout

AUTO = "auto"
"""The name that lets the shapes choose a kernel."""

FEW = 512
"""Weights that are looked at one by one rather than by operators."""

Active = tuple[int, int, float]
"""A token, an expert that it uses, and with which weight."""


class Kernel(Protocol):
    """What the modules of kernels offer."""

    def fits(self, group: LayerGroup, weights: Weights) -> bool:
        """Return whether it can do this; there are no gradients."""

    def pays(self, group: LayerGroup, weights: Weights) -> bool:
        """Return whether it is the one to choose for this, provided it fits."""

    def run(self, group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
        """Return the outputs of a group's layers with the experts' part added, in a new list.

        Args:
            group: Layers that read ``x``.
            x: Their input, shape ``(..., in)``.
            weights: The weights of the experts, of as many tokens as ``x`` has rows.

        Returns:
            One tensor a layer, shape ``(..., out)``.
        """


class Use(NamedTuple):
    """The tokens that use one expert.

    Attributes:
        expert: Its number.
        tokens: Theirs, shape ``(uses,)``.
        weights: The weight of each, shape ``(uses,)``.
    """

    expert: int
    tokens: Tensor
    weights: Tensor


class Order(NamedTuple):
    """Tokens sorted by the experts they use.

    A token that uses two is there twice; those that use none come last, or not at all if any uses
    two.

    Attributes:
        tokens: Their numbers, shape ``(uses,)``.
        uses: The same by expert, for experts that are used.
        counts: How many tokens each of these has, and, if there are any, how many use none.
        back: Where each token is found, shape ``(tokens,)``; ``None`` if one is there twice.
    """

    tokens: Tensor
    uses: list[Use]
    counts: list[int]
    back: Tensor | None


class Weights:
    """What a gate has said of some tokens.

    Args:
        given: Its answer α, shape ``(batch, time, n_experts)``.

    Attributes:
        given: The same.
        tokens: How many tokens there are.
        experts: How many experts.
        on_cpu: Whether looking at the weights costs no waiting.
        kernel: What computes with them, once that is chosen.
        held: Outputs of layers that were computed with another's, and the input of all of them, by
            the number of their group.
    """

    __slots__ = (
        "_active", "_columns", "_order", "_rows", "_uses",
        "experts", "given", "held", "kernel", "on_cpu", "tokens",
    )  # fmt: skip

    def __init__(self, given: Tensor) -> None:
        self.given = given
        *rows, self.experts = given.shape
        self.tokens = math.prod(rows)
        self.on_cpu = given.is_cpu
        self.kernel: Kernel | None = None
        self.held: dict[int, tuple[Tensor, list[Tensor | None]]] = {}
        self._rows: dict[tuple[Layout, torch.dtype], Tensor] = {}
        self._columns: dict[torch.dtype, Tensor] = {}
        self._active: list[Active] | None = None
        self._uses: int | None = None
        self._order: Order | None = None

    @property
    def alpha(self) -> Tensor:
        """Return the gate's answer, of shape ``(tokens, n_experts)``."""
        return self.given.reshape(-1, self.experts)

    def rows(self, layout: Layout, owner: Callable[[], Tensor], dtype: torch.dtype) -> Tensor:
        """Return the weight of every rank-one part, without gradient, shape ``(tokens, R)``.

        Args:
            layout: Identifies what ``owner`` returns.
            owner: Returns the expert of each of R parts, shape ``(R,)``.
            dtype: Of the result.
        """
        rows = self._rows.get((layout, dtype))
        if rows is None:
            alpha = self.alpha.detach() if self.alpha.requires_grad else self.alpha
            rows = self._rows[layout, dtype] = alpha.index_select(1, owner()).to(dtype)
        return rows

    def columns(self, dtype: torch.dtype) -> Tensor:
        """Return the weights, without gradient, shape ``(tokens, 1, n_experts, 1)``."""
        columns = self._columns.get(dtype)
        if columns is None:
            alpha = self.alpha.detach() if self.alpha.requires_grad else self.alpha
            columns = self._columns[dtype] = alpha.to(dtype).view(self.tokens, 1, self.experts, 1)
        return columns

    def active(self) -> list[Active]:
        """Return which token uses which expert, and with which weight."""
        if self._active is None:
            self._active = _looked_at(self.alpha)
        return self._active

    def uses(self) -> int:
        """Return how many weights are not zero."""
        if self._uses is None:
            self._uses = int(torch.count_nonzero(self.alpha))
        return self._uses

    def order(self) -> Order:
        """Return the tokens sorted by expert."""
        if self._order is None:
            self._order = self._sort()
        return self._order

    def _sort(self) -> Order:
        experts, tokens = self.alpha.t().nonzero().unbind(1)
        shares = self.alpha[tokens, experts]
        every = torch.bincount(experts, minlength=self.experts).tolist()
        counts = [count for count in every if count]
        used = [i for i, count in enumerate(every) if count]
        uses = list(map(Use, used, torch.split(tokens, counts), torch.split(shares, counts)))
        often = torch.bincount(tokens, minlength=self.tokens)
        if self.tokens and int(often.max()) > 1:
            return Order(tokens, uses, counts, None)
        idle = (often == 0).nonzero().flatten()
        if len(idle):
            tokens, counts = torch.cat([tokens, idle]), [*counts, len(idle)]
        return Order(tokens, uses, counts, tokens.argsort())


def _looked_at(alpha: Tensor) -> list[Active]:
    """Return which token uses which expert and how, from weights of shape ``(tokens, n)``."""
    if alpha.numel() <= FEW:
        rows = enumerate(alpha.tolist())
        return [(token, i, weight) for token, row in rows for i, weight in enumerate(row) if weight]
    places = alpha.nonzero()
    shares = alpha[places[:, 0], places[:, 1]].tolist()
    pairs = zip(places.tolist(), shares, strict=True)
    return [(token, expert, weight) for (token, expert), weight in pairs]
