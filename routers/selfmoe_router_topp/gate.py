"""The gate of ``topp``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts import Scored
from selfmoe.kits.routers import SoftmaxGate


class TopPGate(SoftmaxGate):
    """A softmax gate that keeps the most probable experts until their probabilities reach p.

    Args:
        options: The router's options.
        tensors: θ by name, each of shape ``(n_experts, width)``.
    """

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(options, tensors)
        self.p: float = options.p
        self.most: int = options.max_k or self.n_experts

    def keep(self, probabilities: Tensor) -> Tensor:
        """Return the probabilities of the experts that are used, the others set to 0.

        Args:
            probabilities: Shape ``(..., n_experts)``; so is what comes back.
        """
        values, experts = probabilities.sort(dim=-1, descending=True, stable=True)
        before = values.cumsum(-1) - values
        used = (before < self.p) | (self.p == 1)  # sums of float32 reach 1 too early
        used[..., self.most :] = False
        return torch.zeros_like(probabilities).scatter(-1, experts, values * used)

    def formula(self) -> Scored:
        """Return what the gate computes, with its θ as they are now."""
        return self.scored(k=self.most, p=self.p)
