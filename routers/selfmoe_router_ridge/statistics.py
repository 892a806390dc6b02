"""The sums that ``ridge`` is solved from: gathered in one pass, added to when experts join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts import Batch, ComposeContext, Composition, Example, Expert, Router
from selfmoe.kits.routers import (
    at_unit_mean_square,
    collate,
    count_ignored,
    encode_all,
    find_decoder,
    own_examples,
    own_states,
    padding,
    text_config,
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
        eye = torch.eye(self.squares.shape[-1]).to(self.squares)
        solved: Tensor = torch.linalg.solve(self.squares + ridge * eye, self.states.mT)
        return solved.mT.float().contiguous()

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
    return replace(
        before,
        experts=(*before.experts, *map(ctx.refer, new.values())),
        tensors={"theta": theta[0].clone() if options.shared else theta, **sums.tensors()},
        report={
            "added_parameters": size,
            "trained_parameters": size,
            "tokens": float(sums.tokens.sum()),
            "ignored_examples": count_ignored(ctx.data, before, new),
        },
    )


@torch.no_grad()
def _read(
    ctx: ComposeContext, options: Any, own: Mapping[str, Sequence[Example]], sums: Sums
) -> None:
    """Let the base read the examples, domain by domain, so that no batch holds two of them."""
    size, pad = options.batch_size, padding(ctx.base.tokenizer)
    device = next(ctx.base.model.parameters()).device
    stack = find_decoder(ctx.base.model, ctx.base.blocks).stack
    done, total = 0, sum(map(len, own.values()))
    for examples in own.values():
        sums.open()
        encoded = encode_all(examples, ctx.base, "router ridge")
        for first in range(0, len(examples), size):
            batch = collate(encoded[first : first + size], pad, device)
            chosen = _chosen(batch, options.tokens)
            sums.tokens[-1] += chosen.sum().cpu()
            with _watched(ctx, sums, chosen, shared=options.shared):
                stack(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            done += len(batch.domains)
            ctx.fit.progress(done, total, "examples read")


def _chosen(batch: Batch, tokens: str) -> Tensor:
    """Return True on the tokens to learn from, shape ``(batch, time)``; never on padding."""
    real = batch.attention_mask.bool()
    return real if tokens == "all" else real & ~batch.prompt_mask


@contextmanager
def _watched(ctx: ComposeContext, sums: Sums, chosen: Tensor, *, shared: bool) -> Iterator[None]:
    """Add what enters each block, while the context lasts."""

    def see(entry: int, block: nn.Module, args: Any, kwargs: Any) -> None:
        sums.add(entry, own_states(block, args[0] if args else kwargs["hidden_states"]), chosen)

    blocks = find_decoder(ctx.base.model, ctx.base.blocks).blocks
    handles = [
        block.register_forward_pre_hook(partial(see, 0 if shared else i), with_kwargs=True)
        for i, block in enumerate(blocks)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
