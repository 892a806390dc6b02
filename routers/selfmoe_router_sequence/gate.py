"""The gate of ``sequence``: a softmax of the mean of a prompt's hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts import ComposeContext, Site, TokenInfo, derive
from selfmoe.kits.routers import at_unit_mean_square, final_width, keep_largest, text_config

READS: Mapping[str, Literal["embedding", "base_final_hidden"]] = {
    "embedding": "embedding",
    "base": "base_final_hidden",
}


class SequenceGate(nn.Module):
    """``alpha = top-k(softmax(theta x̂ / temperature))`` for a whole sequence.

    x̂ is the mean over the prompt's tokens of what is read, at unit mean square, in float32. A
    sequence without a prompt has x̂ = 0: all experts get the same.

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
        self.temperature: float = options.temperature
        self.theta = nn.Parameter(tensors["theta"].detach().clone())

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``, equal along time."""
        mean = at_unit_mean_square(self._mean(x.float(), info))
        probabilities = torch.softmax(linear(mean, self.theta.float()) / self.temperature, dim=-1)
        return keep_largest(probabilities, self.k)[:, None].expand(-1, x.shape[1], -1)

    def _mean(self, x: Tensor, info: TokenInfo) -> Tensor:
        """Return the mean over the tokens of the prompt, shape ``(batch, width)``."""
        prompt = info.prompt_mask
        if prompt is None:
            prompt = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if info.attention_mask is not None:
            prompt = prompt & info.attention_mask[:, -x.shape[1] :].bool()
        weights = prompt.to(x) / prompt.sum(-1, keepdim=True).clamp(min=1)
        return (x * weights[..., None]).sum(1)


def initial_tensors(ctx: ComposeContext, options: Any) -> dict[str, Tensor]:
    """Return θ drawn from N(0, init_std²) by the context's seed, shape ``(n_experts, width)``."""
    generator = torch.Generator().manual_seed(derive(ctx.seed, "sequence"))
    model = ctx.base.model
    read = options.inputs == "base"
    width = final_width(model) if read else int(text_config(model).hidden_size)
    theta = torch.randn(len(ctx.experts), width, generator=generator) * options.init_std
    return {"theta": theta}
