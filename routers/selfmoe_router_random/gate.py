"""The gate of ``random``: a counter hash decides."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from selfmoe.contracts import Drawn, NotSupportedError, Site, TokenInfo

_STEP = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_FACTORS = (-4658895280553007687, -7723592293110705685)  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SHIFTS = (30, 27, 31)


class RandomGate(nn.Module):
    """k of n experts for every token and block, each with the same chance and weight.

    Args:
        n_experts: How many there are.
        k: How many a token takes.
        weight: What each of those gets.
        seed: Decides the draw.
    """

    def __init__(self, n_experts: int, k: int, weight: float, seed: int) -> None:
        super().__init__()
        self.site: Literal["token", "block", "linear"] = "block"
        self.reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "nothing"
        self.causal = True
        self.n_experts, self.k, self.weight, self.seed = n_experts, k, weight, seed

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights, float32, shape ``(batch, time, n_experts)``.

        Raises:
            NotSupportedError: If the model was given embeddings instead of tokens, or a past whose
                length nobody knows.
        """
        if info.input_ids is None:
            raise NotSupportedError("router random needs token ids; give the model input_ids")
        if info.position_ids is None:
            raise NotSupportedError(
                "router random needs the tokens' positions, and this cache does not tell how many "
                "tokens it holds; give the model position_ids"
            )
        tokens = info.input_ids.long()  # seed and hash need all 64 bits
        state = mix(torch.full_like(tokens, self.seed) + where.block)
        for part in (info.position_ids.long().expand_as(tokens), tokens):
            state = mix(state + part)
        experts = torch.arange(self.n_experts, device=state.device)
        lots = mix(state[..., None] + experts)
        chosen = lots.topk(self.k, dim=-1).indices
        alpha = torch.zeros(lots.shape, dtype=torch.float32, device=lots.device)
        return alpha.scatter(-1, chosen, self.weight)

    def formula(self) -> Drawn:
        """Return what the gate computes."""
        return Drawn(k=self.k, value=self.weight, seed=self.seed)


def mix(x: Tensor) -> Tensor:
    """Return 64 well-mixed bits for each integer: one step of SplitMix64 (Steele et al. 2014).

    Args:
        x: Integers, int64, of any shape; so is what comes back.
    """
    x = x + _STEP
    for shift, factor in zip(_SHIFTS, (*_FACTORS, 1), strict=True):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x
