"""Products of float32 by the library that is faster at them.

torch gives them to MKL, which leaves the wide instructions of processors that are not Intel's
unused; oneDNN, which torch has with it, uses them: about twice the rate from a few rows on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST_ROWS = 2
"""Rows from which on oneDNN is faster."""


class ByOneDNN(nn.Linear):
    """A linear whose product is left to oneDNN."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the product of inputs of shape ``(…, in)``, of shape ``(…, out)``."""
        if input.numel() < LEAST_ROWS * self.in_features or torch.is_grad_enabled():
            return super().forward(input)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            input, self.weight, self.bias, "none", [], ""
        )
        return product
