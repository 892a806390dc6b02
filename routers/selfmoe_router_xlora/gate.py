"""The gate of ``xlora``: a classifier of the base's final hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts import ComposeContext, Site, TokenInfo, derive
from selfmoe.kits.routers import final_width, find_decoder, keep_largest


class XLoraGate(nn.Module):
    """``alpha = top-k(softmax(f(x) / temperature))``, f being a linear map or an MLP with ReLU.

    Args:
        options: The router's options.
        tensors: ``weight`` of the last layer, shape ``(n_experts, width)``, or ``(n_experts,
            blocks, width)`` if layerwise; its ``bias``; ``weight_i`` and ``bias_i`` of layer i.
    """

    reads: Literal["base_final_hidden"] = "base_final_hidden"
    causal = True
    weight: Tensor
    bias: Tensor

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.site: Literal["token", "block"] = "block" if options.layerwise else "token"
        self.k: int = options.k
        self.temperature: float = options.temperature
        self.depth: int = options.depth
        self.has_bias: bool = options.bias
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        x = x.float()
        for layer in range(self.depth - 1):
            x = linear(x, self._of("weight", layer), self._of("bias", layer)).relu()
        weight: Tensor = self.weight.float()
        bias: Tensor = self.bias.float() if self.has_bias else weight.new_zeros(weight.shape[:-1])
        if self.site == "block":
            weight, bias = weight[:, where.block], bias[:, where.block]
        probabilities = torch.softmax(linear(x, weight, bias) / self.temperature, dim=-1)
        return keep_largest(probabilities, self.k or len(weight))

    def _of(self, kind: str, layer: int) -> Tensor:
        return self.get_parameter(f"{kind}_{layer}").float()


def initial_tensors(ctx: ComposeContext, options: Any) -> dict[str, Tensor]:
    """Return the classifier as initialised, reproducibly from the context's seed.

    The last layer's weights are drawn from N(0, init_std²), those before it from N(0, 2 / inputs)
    (He et al. 2015, https://arxiv.org/abs/1502.01852); biases are 0.

    Returns:
        ``weight_<i>`` of shape ``(outputs, inputs)`` and ``bias_<i>`` of every layer but the last,
        whose ``weight`` has shape ``(n_experts, size)`` or ``(n_experts, blocks, size)``.
    """
    widths = [final_width(ctx.base.model), *[options.size] * (options.depth - 1)]
    tensors = {}
    for layer, (inside, outside) in enumerate(pairwise(widths)):
        std = (2 / inside) ** 0.5
        tensors[f"weight_{layer}"] = _normal(ctx.seed, f"weight_{layer}", outside, inside) * std
        tensors[f"bias_{layer}"] = torch.zeros(outside)
    shape = [len(ctx.experts)]
    if options.layerwise:
        shape.append(len(find_decoder(ctx.base.model, ctx.base.blocks).blocks))
    tensors["weight"] = _normal(ctx.seed, "weight", *shape, widths[-1]) * options.init_std
    if options.bias:
        tensors["bias"] = torch.zeros(shape)
    return tensors


def _normal(seed: int, name: str, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive(seed, "xlora", name))
    return torch.randn(*shape, generator=generator)
