"""The gate of ``oracle``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, float32, nn

from selfmoe.contracts import Site, TokenInfo


class OracleGate(nn.Module):
    """A weight of 1 for the expert named like the domain of the row; none if there is no such.

    Args:
        experts: Their names, in gate order.
    """

    site: Literal["token", "block", "linear"] = "token"
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "nothing"
    causal = True

    def __init__(self, experts: Sequence[str]) -> None:
        super().__init__()
        self._place = {name: index for index, name in enumerate(experts)}

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights, float32, shape ``(batch, time, n_experts)``."""
        alpha = x.new_zeros((*x.shape[:-1], len(self._place)), dtype=float32)
        for row, domain in enumerate(info.domain or ()):
            if domain in self._place:
                alpha[row, :, self._place[domain]] = 1.0
        return alpha
