"""The gate of ``arrow``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts import Scored, Site, TokenInfo
from selfmoe.kits.routers import Weight, keep_largest, weigh_kept


class ArrowGate(nn.Module):
    """``alpha = top-k(softmax(|x . v| / temperature))`` for every layer, v being its prototypes.

    Args:
        options: The router's options.
        tensors: Prototypes by layer, each of shape ``(n_experts, in)``; zeros for experts that the
            layer does not have.
    """

    site: Literal["token", "block", "linear"] = "linear"
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "hidden"
    causal = True

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.k: int = options.k
        self.temperature: float = options.temperature
        self.weight: Weight = options.weight
        for site, tensor in tensors.items():
            self.register_buffer(_name(site), tensor.clone())

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        assert where.linear is not None
        vectors = self.get_buffer(_name(where.linear)).float()
        there = vectors.any(-1)
        scores = linear(x.float(), vectors).abs() / self.temperature
        weights = torch.softmax(scores.masked_fill(~there, float("-inf")), dim=-1)
        weights = torch.where(there, weights, 0.0)  # of no expert, the softmax is undefined
        return weigh_kept(keep_largest(weights, self.k), self.weight)

    def formula(self) -> Scored:
        """Return what the gate computes; experts without a part in a layer are left out there."""
        vectors = dict(self.named_buffers())
        there = {name: theta.any(-1) for name, theta in vectors.items()}
        return Scored(
            theta=vectors,
            bias={n: torch.where(found, 0.0, -torch.inf) for n, found in there.items()},
            absolute=True,
            temperature=self.temperature,
            k=self.k,
            weight=self.weight,
        )


def _name(site: str) -> str:
    return site.replace(".", "/")
