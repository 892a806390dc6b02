"""The routing of every token in every block, handed on forward by forward.

A `Record` counts; this only carries, so that whoever generates may listen and lose no time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from selfmoe.contracts.composer import TokenInfo

Hear = Callable[[Tensor | None, Tensor], None]
"""Takes what one forward was: 1 on its real tokens, shape ``(batch, time)``, ``None`` if nobody
said; and the weights, shape ``(batch, time, blocks, n_experts)``, averaged over the linears of a
block that ask for themselves."""


class Tape:
    """Hands on the weights of every forward.

    Args:
        hear: Takes them.
    """

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._blocks: dict[int, list[Tensor]] = {}

    def add(self, block: int, alpha: Tensor, info: TokenInfo) -> None:
        """Hear the weights of one gate call, shape ``(batch, time, n_experts)``."""
        self._blocks.setdefault(block, []).append(alpha.detach())

    def close(self, info: TokenInfo) -> None:
        """Hand on the weights of a forward that is over."""
        heard, self._blocks = self._blocks, {}
        if not heard:
            return
        means = [torch.stack(some).mean(0) if len(some) > 1 else some[0] for some in heard.values()]
        weights = torch.stack(means, 2).float().cpu()
        mask = info.attention_mask
        real = None if mask is None else mask[:, -weights.shape[1] :].bool().cpu()
        self._hear(real, weights)
