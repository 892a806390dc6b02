"""The gate of ``retrieval``: candidates by the prompt, weights among them by the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts import Site, TokenInfo
from selfmoe.kits.routers import Weight, keep_largest, prompt_mean, unit_scale, weigh_kept

RETRIEVES: Mapping[str, Literal["embedding", "base_final_hidden"]] = {
    "embedding": "embedding",
    "base": "base_final_hidden",
}


class RetrievalGate(nn.Module):
    """The m experts nearest to a prompt; of these the k nearest to a token.

    It holds on to the tensors that it is given, which can be as large as all experts' centroids.

    Args:
        options: The router's options.
        tensors: ``prompts``, shape ``(n_experts, width)``, and ``tokens``, shape ``(n_experts,
            blocks, width)``.
    """

    site: Literal["block"] = "block"
    reads: Literal["hidden"] = "hidden"
    causal = False
    prompts: Tensor
    tokens: Tensor

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.retrieves_from = RETRIEVES[options.inputs]
        self.m: int = options.m
        self.k: int = options.k
        self.weight: Weight = options.weight
        self.temperature: float = options.temperature
        for name in ("prompts", "tokens"):
            self.register_buffer(name, tensors[name])

    def retrieve(self, x: Tensor, info: TokenInfo) -> Tensor:
        """Return the nearest experts of each row, the nearest first, shape ``(batch, m)``."""
        prompts = self.prompts.float()
        squares = torch.linalg.vector_norm(prompts, dim=-1).square()
        scores = linear(prompt_mean(x, info), prompts) - squares / 2
        found: Tensor = scores.topk(min(self.m, len(prompts))).indices
        return found

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        some = info.candidates
        assert some is not None
        centroids = self.tokens[:, where.block][some].float()
        scores = nearness(x.float(), centroids) / self.temperature
        kept = weigh_kept(keep_largest(torch.softmax(scores, dim=-1), self.k), self.weight)
        alpha = kept.new_zeros(*x.shape[:2], len(self.tokens))
        return alpha.scatter_(-1, some[:, None].expand_as(kept), kept)


def nearness(x: Tensor, centroids: Tensor) -> Tensor:
    """Return ``−‖x̂ − c‖² / (2 width)`` but for a term that all centroids of a row share.

    x̂ is x at unit mean square. Centroids are taken from their mean first: what they have in common
    is most of each, and would be most of the rounding.

    Args:
        x: Float32, shape ``(batch, time, width)``.
        centroids: Float32, shape ``(batch, m, width)``.

    Returns:
        Shape ``(batch, time, m)``.
    """
    middle = centroids.mean(1, keepdim=True)
    off = centroids - middle
    there = torch.linalg.vecdot(off, middle + off / 2)
    scores: Tensor = (torch.bmm(x, off.mT) * unit_scale(x) - there[:, None]) / x.shape[-1]
    return scores
