"""The gate of a mixture, for torch alone: what each expert weighs, for every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear


def empty(*shape: int, dtype: Any = None) -> nn.Parameter:
    """Return a frozen parameter that is to be filled."""
    return nn.Parameter(torch.zeros(*shape, dtype=dtype), requires_grad=False)


class Gate(nn.Module):
    """Says how much of each expert a token gets.

    Args:
        told: The part ``gate`` of the configuration.
        experts: How many there are.
    """

    def __init__(self, told: dict[str, Any], experts: int) -> None:
        super().__init__()
        self.told, self.n_experts = told, experts
        shapes = told["tensors"]
        self.theta, self.bias = (
            nn.ParameterDict({n: empty(*s, dtype=torch.float32) for n, s in shapes[kind].items()})
            for kind in ("theta", "bias")
        )

    def forward(self, x: Tensor, block: int, layer: str | None, ids: Any, positions: Any) -> Tensor:
        """Return alpha, float32, shape ``(batch, time, n_experts)``.

        Args:
            x: What the gate reads, shape ``(batch, time, width)``.
            block: Number of the decoder block.
            layer: Name of the linear layer, if that asks.
            ids: The tokens, shape ``(batch, time)``, or ``None``.
            positions: Their positions, padding not counted, of the same shape, or ``None``.
        """
        if self.told["form"] == "constant":
            return x.new_full((*x.shape[:-1], self.n_experts), self.told["value"]).float()
        if self.told["form"] == "drawn":
            return self._drawn(block, ids, positions)
        return self._scored(x.float(), block, layer)

    def _scored(self, x: Tensor, block: int, layer: str | None) -> Tensor:
        """Return ``weigh(keep(softmax((theta x̂ + bias) / temperature)))``."""
        names = ((layer or "").replace(".", "/"), str(x.shape[-1]), "all")
        name = next(name for name in names if name in self.theta)
        theta = self.theta[name] if self.theta[name].dim() == 2 else self.theta[name][block]
        logits = linear(normalised(x, self.told["normalise"]), theta.float())
        logits = logits.abs() if self.told["absolute"] else logits
        logits = logits + self.bias[name] if name in self.bias else logits
        temperature = self.told["temperature"] or x.shape[-1] ** 0.5
        logits = logits if temperature == 1 else logits / temperature
        probabilities = torch.softmax(logits, -1)
        if name in self.bias:  # softmax of nothing but -inf
            probabilities = torch.where(logits == -torch.inf, 0.0, probabilities)
        kept = keep(probabilities, self.told["k"] or self.n_experts, self.told["p"])
        if self.told["weight"] == "one":
            return kept / kept.sum(-1, keepdim=True).clamp(min=1e-30)
        return kept

    def _drawn(self, block: int, ids: Any, positions: Any) -> Tensor:
        """Return the same weight for k experts, drawn by seed, block, position and token."""
        if ids is None:
            raise ValueError("this router draws by tokens and positions: give the model input_ids")
        tokens: Tensor = ids.long()
        state = mix(torch.full_like(tokens, self.told["seed"]) + block)
        state = mix(mix(state + positions.long().expand_as(tokens)) + tokens)
        lots = mix(state[..., None] + torch.arange(self.n_experts, device=state.device))
        alpha = torch.zeros(lots.shape, device=lots.device)
        return alpha.scatter(-1, lots.topk(self.told["k"], dim=-1).indices, self.told["value"])


def normalised(x: Tensor, how: str) -> Tensor:
    """Return x of any shape: as it is, at unit mean square, or at mean 0 and variance 1."""
    if how == "mean_square":
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return layer_norm(x, x.shape[-1:]) if how == "standard" else x


def keep(probabilities: Tensor, k: int, p: float) -> Tensor:
    """Return the k largest at the most, and none once they sum to p, the rest 0; of one shape."""
    if k == 1:  # of equal ones the first, as when sorted
        values, experts = probabilities.max(-1, keepdim=True)
        return torch.zeros_like(probabilities).scatter(-1, experts, values)
    values, experts = probabilities.sort(dim=-1, descending=True, stable=True)
    if p < 1:
        values = values * (values.cumsum(-1) - values < p)
    return torch.zeros_like(probabilities).scatter(-1, experts[..., :k], values[..., :k])


def mix(x: Tensor) -> Tensor:
    """Return 64 mixed bits an integer, of any shape: SplitMix64 (Steele et al. 2014)."""
    x = x - 7046029254386353131  # + 0x9E3779B97F4A7C15
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685), (31, 1)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x
