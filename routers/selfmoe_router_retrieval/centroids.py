"""The centroids of ``retrieval``: of an expert's prompts, and of its responses in every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts import Batch, ComposeContext, Composition, Example, Expert, Router, TokenInfo
from selfmoe.kits.routers import (
    at_unit_mean_square,
    batches_by_expert,
    find_decoder,
    joined,
    own_examples,
    prompt_mean,
    watched,
)
from selfmoe_router_retrieval.gate import RETRIEVES


class Means:
    """Means over one expert's examples, added up in float64."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, rows: Tensor) -> None:
        """Add rows, shape ``(count, width)``, to a mean."""
        there = self._sums.get(name, torch.zeros(rows.shape[-1], dtype=torch.float64))
        self._sums[name] = there + rows.cpu().double().sum(0)
        self._counts[name] = self._counts.get(name, 0) + len(rows)

    def of(self, name: str) -> Tensor:
        """Return a mean, float32, shape ``(width,)``."""
        return (self._sums[name] / self._counts[name]).float()


def gather(
    ctx: ComposeContext, router: Router, before: Composition, new: Mapping[str, Expert]
) -> Composition:
    """Return a composition with the centroids of new experts below those it has.

    Raises:
        CompositionError: If an expert has no examples.
    """
    own = own_examples(router, ctx.data, new)
    rows = _centroids(ctx, router, own)
    tensors = {n: torch.cat([before.tensors.get(n, t[:0]), t]) for n, t in rows.items()}
    size = float(sum(tensor.numel() for tensor in tensors.values()))
    report = {
        "added_parameters": size,
        "trained_parameters": size,
        "examples": before.report.get("examples", 0.0) + sum(map(len, own.values())),
    }
    return joined(before, ctx, new, tensors, report)


@torch.no_grad()
def _centroids(
    ctx: ComposeContext, router: Router, own: Mapping[str, Sequence[Example]]
) -> dict[str, Tensor]:
    """Return the centroids as ``RetrievalGate`` takes them, those of the named experts."""
    decoder = find_decoder(ctx.base.model, ctx.base.blocks)
    means = {name: Means() for name in own}
    size, label = router.options.batch_size, f"router {router.name}"
    for name, batch in batches_by_expert(ctx, own, size, label):
        _read(decoder, batch, means[name], RETRIEVES[router.options.inputs])
    blocks = [str(index) for index in range(len(decoder.blocks))]
    return {
        "prompts": torch.stack([one.of("prompt") for one in means.values()]),
        "tokens": torch.stack(
            [torch.stack([one.of(block) for block in blocks]) for one in means.values()]
        ),
    }


def _read(decoder: Any, batch: Batch, means: Means, retrieves_from: str) -> None:
    """Let the base read examples of one expert and add up what the two levels go by."""
    info = TokenInfo(attention_mask=batch.attention_mask, prompt_mask=batch.prompt_mask)
    response = batch.attention_mask.bool() & ~batch.prompt_mask

    def entered(block: int, hidden: Tensor) -> None:
        means.add(str(block), at_unit_mean_square(hidden[response]))
        if block == 0 and retrieves_from == "embedding":
            means.add("prompt", prompt_mean(hidden, info))

    with watched(decoder.blocks, entered):
        output = decoder.stack(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    if retrieves_from != "embedding":
        means.add("prompt", prompt_mean(output[0], info))
