"""Statistics of the base's own states, for routers that are solved from them, not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.fitting import Batch
from selfmoe.contracts.records import Example
from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.structure import own_states
from selfmoe.models.tokens import padding


def batches_by_expert(
    ctx: ComposeContext,
    own: Mapping[str, Sequence[Example]],
    size: int,
    label: str,
    *,
    prompts: bool = False,
) -> Iterator[tuple[str, Batch]]:
    """Yield the examples in batches, expert by expert, so that none holds those of two.

    Args:
        ctx: Base, and whom to tell how far it is.
        own: The examples of each expert.
        size: Examples of a batch at the most.
        label: Whose they are, for messages.
        prompts: Leave out the responses.

    Raises:
        StageError: If examples are longer than the base's context.
    """
    pad, device = padding(ctx.base.tokenizer), next(ctx.base.model.parameters()).device
    done, total = 0, sum(map(len, own.values()))
    for name, examples in own.items():
        rows = encode_all(examples, ctx.base, label)
        if prompts:
            rows = [replace(row, ids=row.ids[: row.prompt]) for row in rows]
        for first in range(0, len(rows), size):
            batch = collate(rows[first : first + size], pad, device)
            yield name, batch
            done += len(batch.domains)
            ctx.fit.progress(done, total, "examples read")


@contextmanager
def watched(blocks: Iterable[nn.Module], see: Callable[[int, Tensor], object]) -> Iterator[None]:
    """Tell ``see`` what enters each block, its index first, while the context lasts.

    Args:
        blocks: Decoder blocks.
        see: Told an index and hidden states, shape ``(batch, time, width)``.
    """

    def entered(index: int, block: nn.Module, args: Any, kwargs: Any) -> None:
        see(index, own_states(block, args[0] if args else kwargs["hidden_states"]))

    handles = [
        block.register_forward_pre_hook(partial(entered, index), with_kwargs=True)
        for index, block in enumerate(blocks)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def solve_ridge(squares: Tensor, states: Tensor, ridge: float) -> Tensor:
    """Return ``W = ((XᵀX + λI)⁻¹ XᵀY)ᵀ`` in float32, shape ``(…, n_experts, width)``.

    Every row of W is solved by itself, so its bits do not depend on where it stands.

    Args:
        squares: ``XᵀX`` in float64, shape ``(…, width, width)``.
        states: ``YᵀX`` in float64, shape ``(…, n_experts, width)``.
        ridge: λ, above 0.
    """
    eye = torch.eye(squares.shape[-1]).to(squares)
    factors = torch.linalg.lu_factor(squares + ridge * eye)
    rows = [torch.linalg.lu_solve(*factors, row.mT) for row in torch.split(states, 1, -2)]
    return torch.cat(rows, -1).mT.float().contiguous()
