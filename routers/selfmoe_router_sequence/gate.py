"""The gate of ``sequence``: a softmax of the mean of a prompt's hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts import ComposeContext, Site, TokenInfo, derive
from selfmoe.kits.routers import (
    Weight,
    final_width,
    keep_largest,
    prompt_mean,
    text_config,
    weigh_kept,
)

READS: Mapping[str, Literal["embedding", "base_final_hidden"]] = {
    "embedding": "embedding",
    "base": "base_final_hidden",
}
TEMPERATURE: Mapping[str, float] = {"learned": 1.0, "ridge": 0.1, "centroid": 0.01}
"""What divides the logits where nothing else is said, by what θ comes from."""


class SequenceGate(nn.Module):
    """``alpha = top-k(softmax(theta x̂ / temperature))`` for a whole sequence.

    With the option ``weight: one`` what is kept is scaled to sum 1. x̂ is the mean over the prompt's
    tokens of what is read, at unit mean square, in float32. A sequence without a prompt has x̂ = 0:
    all experts get the same.

    Args:
        options: The router's options.
        tensors: ``theta``, shape ``(n_experts, width)``.
    """

    site: Literal["sequence"] = "sequence"
    causal = False

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.reads = READS[options.inputs]
        self.k: int = options.k
        self.weight: Weight = options.weight
        self.temperature: float = options.temperature or TEMPERATURE[options.fit]
        self.theta = nn.Parameter(tensors["theta"].detach().clone())

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``, equal along time."""
        logits = linear(prompt_mean(x, info), self.theta.float()) / self.temperature
        kept = keep_largest(torch.softmax(logits, dim=-1), self.k)
        return weigh_kept(kept, self.weight)[:, None].expand(-1, x.shape[1], -1)


def initial_tensors(ctx: ComposeContext, options: Any) -> dict[str, Tensor]:
    """Return θ drawn from N(0, init_std²) by the context's seed, shape ``(n_experts, width)``."""
    generator = torch.Generator().manual_seed(derive(ctx.seed, "sequence"))
    model = ctx.base.model
    read = options.inputs == "base"
    width = final_width(model) if read else int(text_config(model).hidden_size)
    theta = torch.randn(len(ctx.experts), width, generator=generator) * options.init_std
    return {"theta": theta}
