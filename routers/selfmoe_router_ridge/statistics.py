"""The sums that ``ridge`` is solved from: gathered in one pass, added to when experts join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts import Batch, ComposeContext, Composition, Example, Expert, Router
from selfmoe.kits.routers import (
    at_unit_mean_square,
    batches_by_expert,
    find_decoder,
    joined,
    own_examples,
    solve_ridge,
    text_config,
    watched,
)


class Sums:
    """Sums over tokens in float64, by block, or in one entry if the blocks share them.

    Attributes:
        squares: ``XᵀX``, shape ``(entries, width, width)``.
        states: ``YᵀX``, a row an expert, shape ``(entries, n_experts, width)``.
        tokens: Tokens of each expert's examples, shape ``(n_experts,)``.
    """

    def __init__(self, squares: Tensor, states: Tensor, tokens: Tensor) -> None:
        self.squares, self.states, self.tokens = squares, states, tokens

    @classmethod
    def resume(cls, tensors: Mapping[str, Tensor], shape: tuple[int, int], device: Any) -> Sums:
        """Return the sums that ``tensors`` holds, or those of nothing.

        Args:
            tensors: What ``tensors()`` returned; may be empty.
            shape: ``(entries, width)``.
            device: Where to add up.
        """
        exact: Any = {"dtype": torch.float64, "device": device}
        entries, width = shape
        if not tensors:
            return cls(
                torch.zeros(entries, width, width, **exact),
                torch.zeros(entries, 0, width, **exact),
                torch.zeros(0, dtype=torch.int64),
            )
        squares, states = (tensors[name].to(**exact).clone() for name in ("squares", "states"))
        return cls(squares, states, tensors["tokens"].clone())

    def open(self) -> None:
        """Begin with the next expert: what is added from now on is its own."""
        self.states = torch.cat([self.states, torch.zeros_like(self.squares[:, :1])], dim=1)
        self.tokens = torch.cat([self.tokens, torch.zeros(1, dtype=torch.int64)])

    def add(self, entry: int, hidden: Tensor, chosen: Tensor) -> None:
        """Add the chosen tokens of a batch of hidden states, shape ``(batch, time, width)``."""
        rows = at_unit_mean_square(hidden[chosen]).to(self.squares)
        self.squares[entry].addmm_(rows.t(), rows)
        self.states[entry, -1] += rows.sum(0)

    def solve(self, ridge: float) -> Tensor:
        """Return W in float32, shape ``(entries, n_experts, width)``."""
        return solve_ridge(self.squares, self.states, ridge)

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums as a composition keeps them.

        ``squares`` has shape ``(entries, width, width)``, ``states`` ``(entries, n_experts,
        width)``, ``tokens`` ``(n_experts,)``.
        """
        return {
            "squares": self.squares.cpu(),
            "states": self.states.cpu(),
            "tokens": self.tokens,
        }


def gather(
    ctx: ComposeContext, router: Router, before: Composition, new: Mapping[str, Expert]
) -> Composition:
    """Return a composition with the sums over the new experts' examples, and its gate.

    Raises:
        CompositionError: If an expert has no examples with a token to learn from.
    """
    own = own_examples(router, ctx.data, new)
    options = router.options
    width = int(text_config(ctx.base.model).hidden_size)
    blocks = len(find_decoder(ctx.base.model, ctx.base.blocks).blocks)
    device = next(ctx.base.model.parameters()).device
    exact = "cpu" if device.type == "mps" else device  # which has no float64
    sums = Sums.resume(before.tensors, (1 if options.shared else blocks, width), exact)
    _read(ctx, options, own, sums)
    theta = sums.solve(options.ridge).cpu()
    size = float(theta.numel())
    tensors = {"theta": theta[0].clone() if options.shared else theta, **sums.tensors()}
    report = {
        "added_parameters": size,
        "trained_parameters": size,
        "tokens": float(sums.tokens.sum()),
    }
    return joined(before, ctx, new, tensors, report)


@torch.no_grad()
def _read(
    ctx: ComposeContext, options: Any, own: Mapping[str, Sequence[Example]], sums: Sums
) -> None:
    """Let the base read the examples, domain by domain, so that no batch holds two of them."""
    decoder = find_decoder(ctx.base.model, ctx.base.blocks)
    batches = batches_by_expert(ctx, own, options.batch_size, "router ridge")
    for _, part in groupby(batches, itemgetter(0)):
        sums.open()
        for _, batch in part:
            chosen = _chosen(batch, options.tokens)
            sums.tokens[-1] += chosen.sum().cpu()
            add = partial(_add, sums, chosen, shared=options.shared)
            with watched(decoder.blocks, add):
                decoder.stack(input_ids=batch.input_ids, attention_mask=batch.attention_mask)


def _add(sums: Sums, chosen: Tensor, block: int, hidden: Tensor, *, shared: bool) -> None:
    sums.add(0 if shared else block, hidden, chosen)


def _chosen(batch: Batch, tokens: str) -> Tensor:
    """Return True on the tokens to learn from, shape ``(batch, time)``; never on padding."""
    real = batch.attention_mask.bool()
    return real if tokens == "all" else real & ~batch.prompt_mask
