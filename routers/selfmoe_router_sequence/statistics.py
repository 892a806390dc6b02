"""θ of ``sequence`` without training: from the prompts of each expert's own domain."""

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
    solve_ridge,
    watched,
)

GRID = 2.0**20
"""Sums are multiples of 1 / GRID; below 2³³ such numbers add up exactly, so in any order."""


def gather(
    ctx: ComposeContext, router: Router, before: Composition, new: Mapping[str, Expert]
) -> Composition:
    """Return a composition with θ solved from the statistics it has and those of new experts.

    Raises:
        CompositionError: If an expert has no examples.
    """
    own = own_examples(router, ctx.data, new)
    states = _prompt_states(ctx, router.options, own)
    solve = _by_ridge if router.options.fit == "ridge" else _by_centroid
    tensors = solve(before.tensors, list(states.values()), router.options)
    size = float(tensors["theta"].numel())
    report = {
        "added_parameters": size,
        "trained_parameters": size,
        "prompts": before.report.get("prompts", 0.0) + sum(map(len, states.values())),
    }
    return joined(before, ctx, new, tensors, report)


def _by_ridge(before: Mapping[str, Tensor], new: Sequence[Tensor], options: Any) -> dict[str, Any]:
    """Return θ and the sums it is solved from, those of new experts added to what was there.

    Args:
        before: What this returned for the experts there are; may be empty.
        new: x̂ of the prompts of each new expert, shape ``(prompts, width)``.
        options: The router's options.

    Returns:
        ``theta`` and ``states``, of shape ``(n_experts, width)``, and ``squares``, of shape
        ``(width, width)``.
    """
    width = new[0].shape[-1]
    squares = before.get("squares", torch.zeros(width, width, dtype=torch.float64))
    for x in new:
        squares = squares + _rounded(x.mT @ x)
    states = torch.stack([_rounded(x.sum(0)) for x in new])
    states = torch.cat([before.get("states", states[:0]), states])
    theta = solve_ridge(squares, states, options.ridge)
    return {"theta": theta, "squares": squares, "states": states}


def _by_centroid(
    before: Mapping[str, Tensor], new: Sequence[Tensor], options: Any
) -> dict[str, Any]:
    """Return θ whose rows are centroids at unit mean square, divided by their width.

    ``θ x̂`` is then the cosine of x̂ with each, and the largest is that of the nearest.
    """
    rows = torch.stack([at_unit_mean_square(x.mean(0)) / x.shape[-1] for x in new])
    return {"theta": torch.cat([before.get("theta", rows[:0]), rows])}


def _rounded(sums: Tensor) -> Tensor:
    return (sums * GRID).round() / GRID


@torch.no_grad()
def _prompt_states(
    ctx: ComposeContext, options: Any, own: Mapping[str, Sequence[Example]]
) -> dict[str, Tensor]:
    """Return x̂ of each expert's prompts as the gate reads them, float64, ``(prompts, width)``."""
    parts: dict[str, list[Tensor]] = {name: [] for name in own}
    label = f"router sequence, {options.fit}"
    for name, batch in batches_by_expert(ctx, own, options.batch_size, label, prompts=True):
        info = TokenInfo(attention_mask=batch.attention_mask, prompt_mask=batch.prompt_mask)
        x = _read(ctx, batch, embedding=options.inputs == "embedding")
        parts[name].append(prompt_mean(x, info).cpu().double())
    return {name: torch.cat(rows) for name, rows in parts.items()}


def _read(ctx: ComposeContext, batch: Batch, *, embedding: bool) -> Tensor:
    """Return what enters the first block, or the base's final states, ``(batch, time, width)``."""
    decoder = find_decoder(ctx.base.model, ctx.base.blocks)
    seen: list[Tensor] = []
    with watched(decoder.blocks[:1], lambda _, hidden: seen.append(hidden)):
        output = decoder.stack(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    final: Tensor = output[0]
    return seen[0] if embedding else final
