"""Training experts and router together, on the routed runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts import Batch, ComposeContext, Composition, FitConfig, Router, derive
from selfmoe.kits.routers import (
    Factors,
    ResponseLoss,
    RoutedDelta,
    attach,
    factors_of,
    text_config,
    write_factors,
)

Adapters = Mapping[str, Mapping[str, Factors]]
"""What each expert adds to each layer, by the names of both."""


def train(
    ctx: ComposeContext, router: Router, start: Composition, options: FitConfig
) -> Composition:
    """Return a composition with experts of its own and θ, trained on ``ctx.data``.

    Raises:
        StageError: If a loss is not finite.
    """
    adapters = initial_adapters(ctx)
    start = replace(
        start,
        tensors={"theta": _theta(ctx, router.options.init_std)},
        owned=_write(ctx, adapters, "start"),
    )
    model = ctx.base.model
    with attach(model, router, start, ctx.experts, blocks=ctx.base.blocks) as mixture:
        gate = mixture.gate.requires_grad_(True)
        if router.options.train_k == "all":
            gate.k = gate.n_experts
        together = Together(model, adapters)
        parameters = {"theta": gate.theta, **together.parameters}
        fitted = ctx.fit(
            model,
            parameters,
            ctx.data,
            ctx.base,
            options,
            seed=derive(ctx.seed, "fit"),
            work=ctx.work / "fit",
            label=f"{router.kind} {router.name}",
            forward=ResponseLoss(model, ctx.base.blocks, together.run),
            rates={"theta": router.options.router_lr},
        )
        theta = gate.theta.detach().cpu().clone()
    size = float(sum(parameter.numel() for parameter in parameters.values()))
    return replace(
        start,
        tensors={"theta": theta},
        owned=_write(ctx, together.trained(), "adapters"),
        report={"added_parameters": size, "trained_parameters": size, **fitted.summary()},
    )


def initial_adapters(ctx: ComposeContext) -> dict[str, dict[str, Factors]]:
    """Return adapters of the shapes of the experts as PEFT initialises them, in float32.

    A is uniform within ±1/sqrt(in), which is what Kaiming's rule with a = sqrt(5) comes to; B is 0.
    """

    def fresh(expert: str, layer: str, like: Factors) -> Factors:
        generator = torch.Generator().manual_seed(derive(ctx.seed, "joint", expert, layer))
        bound = 1 / math.sqrt(like.a.shape[1])
        a = torch.empty(like.a.shape).uniform_(-bound, bound, generator=generator)
        return Factors(a, torch.zeros(like.b.shape), like.scale)

    return {
        name: {layer: fresh(name, layer, like) for layer, like in factors_of(expert).items()}
        for name, expert in ctx.experts.items()
    }


def _theta(ctx: ComposeContext, std: float) -> Tensor:
    generator = torch.Generator().manual_seed(derive(ctx.seed, "joint", "theta"))
    width = int(text_config(ctx.base.model).hidden_size)
    return torch.randn(len(ctx.experts), width, generator=generator) * std


def _write(ctx: ComposeContext, adapters: Adapters, folder: str) -> dict[str, Path]:
    return {
        name: write_factors(ctx.work / folder / name, layers, like=ctx.experts[name].path)
        for name, layers in adapters.items()
    }


class Together:
    """All experts' factors as parameters, in float32, at work on a model with a mixture attached.

    The runtime keeps the factors of all experts stacked, B times its scale. Here they are stacked
    anew in every forward, so that gradients reach A and B themselves.

    Args:
        model: The model.
        adapters: Where they start from, in gate order.

    Attributes:
        parameters: A and B by expert and layer.
    """

    def __init__(self, model: nn.Module, adapters: Adapters) -> None:
        self._model, self._adapters = model, adapters
        self._deltas = {
            module.name: module for module in model.modules() if isinstance(module, RoutedDelta)
        }
        device = next(model.parameters()).device
        self.parameters = {
            f"{name}/{layer}/{part}": nn.Parameter(getattr(factors, part).to(device))
            for name, layers in adapters.items()
            for layer, factors in layers.items()
            for part in ("a", "b")
        }

    def run(self, batch: Batch, **options: Any) -> Any:
        """Return what the model returns for a batch, with the factors as they are now."""
        for layer, delta in self._deltas.items():
            own = [self._factors(name, layer) for name in self._adapters if self._has(name, layer)]
            delta.a = torch.cat([f.a for f in own]).to(delta.a.dtype)
            delta.b = torch.cat([f.b * f.scale for f in own], dim=1).to(delta.b.dtype)
        return self._model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, **options
        )

    def trained(self) -> dict[str, dict[str, Factors]]:
        """Return the adapters as they are now, on the CPU."""
        return {
            name: {layer: self._detached(name, layer) for layer in layers}
            for name, layers in self._adapters.items()
        }

    def _has(self, name: str, layer: str) -> bool:
        return layer in self._adapters[name]

    def _factors(self, name: str, layer: str) -> Factors:
        a, b = (self.parameters[f"{name}/{layer}/{part}"] for part in ("a", "b"))
        return Factors(a, b, self._adapters[name][layer].scale)

    def _detached(self, name: str, layer: str) -> Factors:
        a, b, scale = self._factors(name, layer)
        return Factors(a.detach().cpu(), b.detach().cpu(), scale)
