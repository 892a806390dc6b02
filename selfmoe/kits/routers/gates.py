"""What gates share: inputs at unit size, the k largest weights, and the linear gate of a block."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts.composer import Site, TokenInfo


def at_unit_mean_square(x: Tensor) -> Tensor:
    """Return ``x / sqrt(mean x² + 1e-6)`` over the last dimension, in float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def unit_logits(theta: Tensor, x: Tensor) -> Tensor:
    """Return ``theta x̂``, x̂ being x at unit mean square, in float32.

    The few logits are scaled rather than the many features.

    Args:
        theta: Shape ``(n_experts, width)``.
        x: Shape ``(..., width)``.
    """
    x = x.float()
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale: Tensor = size.square().div_(x.shape[-1]).add_(1e-6).rsqrt_()
    return linear(x, theta.float()) * scale


def keep_largest(probabilities: Tensor, k: int, renormalise: bool = False) -> Tensor:
    """Return the probabilities with all but the k largest of each token set to 0.

    Args:
        probabilities: Shape ``(..., n_experts)``.
        k: How many stay; all, if there are no more.
        renormalise: Let what stays sum to 1.
    """
    kept = probabilities
    if k < probabilities.shape[-1]:
        # For one both do the same, and max costs less.
        some = probabilities.max(-1, True) if k == 1 else probabilities.topk(k, -1)
        kept = torch.zeros_like(probabilities).scatter_(-1, some.indices, some.values)
    return kept / kept.sum(-1, keepdim=True) if renormalise else kept


class LinearGate(nn.Module):
    """``alpha = top-k(softmax(theta x̂ / temperature))``, x̂ being what enters a decoder block.

    x̂ is the residual stream at unit mean square, in float32.

    Args:
        theta: Shape ``(n_experts, width)``: one for all blocks; or ``(blocks, n_experts, width)``.
        k: Experts a token uses.
        temperature: Divides the logits.
        renormalise: Let the weights of the k experts sum to 1.
    """

    site: Literal["token", "block", "linear"] = "block"
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "hidden"
    causal = True

    def __init__(
        self, theta: Tensor, k: int, *, temperature: float = 1.0, renormalise: bool = False
    ) -> None:
        super().__init__()
        self.k, self.temperature, self.renormalise = k, temperature, renormalise
        self.n_experts = int(theta.shape[-2])
        self.theta = nn.Parameter(theta.detach().clone())

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        theta = self.theta if self.theta.dim() == 2 else self.theta[where.block]
        logits = unit_logits(theta, x)
        logits = logits if self.temperature == 1 else logits / self.temperature
        return keep_largest(torch.softmax(logits, dim=-1), self.k, self.renormalise)
