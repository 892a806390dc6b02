"""The gate of ``topk``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from selfmoe.kits.routers import SoftmaxGate, keep_largest


class TopKGate(SoftmaxGate):
    """A softmax gate that keeps the k most probable experts of every token.

    Args:
        options: The router's options.
        tensors: θ by name, each of shape ``(n_experts, width)``.
    """

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(options, tensors)
        self.k: int = options.k

    def keep(self, probabilities: Tensor) -> Tensor:
        """Return the k largest probabilities of every token, the others set to 0."""
        return keep_largest(probabilities, self.k, self.renormalise)
