"""The gate of ``uniform``."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, float32, nn

from selfmoe.contracts import Constant, Site, TokenInfo


class UniformGate(nn.Module):
    """The same weight for every expert and token.

    Args:
        n_experts: How many there are.
        weight: What each of them gets.
    """

    site: Literal["token", "block", "linear"] = "token"
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "nothing"
    causal = True

    def __init__(self, n_experts: int, weight: float) -> None:
        super().__init__()
        self.n_experts, self.weight = n_experts, weight

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights, float32, shape ``(batch, time, n_experts)``."""
        return x.new_full((*x.shape[:-1], self.n_experts), self.weight, dtype=float32)

    def formula(self) -> Constant:
        """Return what the gate computes."""
        return Constant(value=self.weight)
