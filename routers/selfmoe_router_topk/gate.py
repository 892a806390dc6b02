"""The gate of ``topk`` and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.components import ComposeContext, Site, TokenInfo
from selfmoe.mixture.gating import at_unit_mean_square, keep_largest
from selfmoe.mixture.structure import text_config
from selfmoe.randomness import derive

Reads = Literal["hidden", "base_final_hidden", "embedding", "nothing"]
SITES: Mapping[str, Literal["token", "block", "linear"]] = {
    "block_input": "block",
    "embedding": "token",
    "per_width": "linear",
    "per_linear": "linear",
}


class TopKGate(nn.Module):
    """``alpha = top-k(softmax(theta x̂ / temperature))``, x̂ being x at unit mean square.

    Args:
        options: The router's options.
        tensors: θ by name, each of shape ``(n_experts, width)``.
    """

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.inputs = options.inputs
        self.site = SITES[options.inputs]
        self.reads: Reads = "embedding" if options.inputs == "embedding" else "hidden"
        self.causal = True
        self.n_experts = len(next(iter(tensors.values())))
        self.k: int = options.k
        self.renormalise: bool = options.renormalise
        self.temperature: float = options.temperature
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        theta: Tensor = getattr(self, theta_name(self.inputs, x.shape[-1], where.linear)).float()
        logits = linear(at_unit_mean_square(x), theta) / self.temperature
        return keep_largest(torch.softmax(logits, dim=-1), self.k, self.renormalise)


def theta_name(inputs: str, width: int, linear_name: str | None) -> str:
    """Return which θ applies; names of layers are written with ``/`` for ``.``."""
    if inputs == "per_width":
        return f"theta_{width}"
    if inputs == "per_linear" and linear_name is not None:
        return "theta_" + linear_name.replace(".", "/")
    return "theta"


def initial_tensors(ctx: ComposeContext, options: Any) -> dict[str, Tensor]:
    """Return θ drawn from N(0, init_std²), reproducibly from the context's seed.

    Raises:
        CompositionError: If k is larger than the number of experts.
    """
    n = len(ctx.experts)
    widths = {"theta": int(text_config(ctx.base.model).hidden_size)}
    if SITES[options.inputs] == "linear":
        widths = {
            theta_name(options.inputs, factors.a.shape[1], site): int(factors.a.shape[1])
            for expert in ctx.experts.values()
            for site, factors in expert.factors().items()
        }
    return {
        name: torch.randn(n, width, generator=_generator(ctx.seed, name)) * options.init_std
        for name, width in sorted(widths.items())
    }


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, "topk", name))
