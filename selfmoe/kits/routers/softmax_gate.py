"""Gates that are a softmax over the experts, and their tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import ComposeContext, Site, TokenInfo
from selfmoe.contracts.formula import Scored
from selfmoe.contracts.randomness import derive
from selfmoe.kits.routers.gates import keep_largest, unit_logits, weigh_kept
from selfmoe.kits.routers.weighing import Weight
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.forward.kernels.native.choosing import largest
from selfmoe.models.structure import text_config

SITES: Mapping[str, Literal["token", "block", "linear"]] = {
    "block_input": "block",
    "embedding": "token",
    "per_width": "linear",
    "per_linear": "linear",
}


class SoftmaxGate(nn.Module):
    """``alpha = keep(softmax(theta x̂ / temperature))``, x̂ being x at unit mean square.

    With the option ``weight: one`` what is kept is scaled to sum 1.

    Args:
        options: Options of the router, a ``SoftmaxConfig``.
        tensors: θ by name, each of shape ``(n_experts, width)``, or ``(blocks, n_experts, width)``
            if each block has one of its own.

    Attributes:
        keep_all: Keep all probabilities, as routers may while they learn.
        listener: Told the logits of every call, shape ``(batch, time, n_experts)``.
    """

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.inputs = options.inputs
        self.site = SITES[options.inputs]
        self.reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = (
            "embedding" if options.inputs == "embedding" else "hidden"
        )
        self.causal = True
        self.n_experts = int(next(iter(tensors.values())).shape[-2])
        self.weight: Weight = options.weight
        self.temperature: float = options.temperature
        self.keep_all = False
        self.listener: Callable[[Tensor], object] | None = None
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    @abstractmethod
    def keep(self, probabilities: Tensor) -> Tensor:
        """Return the probabilities with those of experts that a token does not use set to 0.

        Args:
            probabilities: Float32, shape ``(batch, time, n_experts)``.
        """

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        logits = unit_logits(self._theta_of(x, where), x)
        logits = logits if self.temperature == 1 else logits / self.temperature
        if self.listener is not None:
            self.listener(logits)
        probabilities = torch.softmax(logits, dim=-1)
        return probabilities if self.keep_all else weigh_kept(self.keep(probabilities), self.weight)

    def _theta_of(self, x: Tensor, where: Site) -> Tensor:
        """Return the θ that applies to an input, shape ``(n_experts, width)``.

        Args:
            x: Shape ``(batch, time, width)``.
            where: The place that asks.
        """
        theta: Tensor = getattr(self, theta_name(self.inputs, x.shape[-1], where.linear))
        return theta if theta.dim() == 2 else theta[where.block]

    def scored(self, *, k: int | None, p: float = 1.0) -> Scored:
        """Return the formula of a gate whose ``keep`` is that of ``Scored``.

        Args:
            k: How many probabilities are kept at the most; ``None``: all.
            p: How much they sum to when no further one is kept.
        """
        return Scored(
            theta={_key(name): theta for name, theta in self.named_parameters()},
            normalise="mean_square",
            temperature=self.temperature,
            k=k,
            p=p,
            weight=self.weight,
        )


class TopKGate(SoftmaxGate):
    """A softmax gate that keeps the k most probable experts of every token.

    Args:
        options: Options of the router, a ``TopKConfig``.
        tensors: θ by name, as ``SoftmaxGate`` takes them.

    Attributes:
        k: Experts a token uses.
    """

    def __init__(self, options: Any, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(options, tensors)
        self.k: int = options.k

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        if self.listener is None and not self.keep_all:
            theta, one = self._theta_of(x, where), self.weight == "one"
            chosen = largest(theta, x, self.k, self.temperature, one=one)
            if chosen is not None:
                return chosen
        return super().forward(x, where, info)

    def keep(self, probabilities: Tensor) -> Tensor:
        """Return the k largest probabilities of every token, the others set to 0.

        Args:
            probabilities: Float32, shape ``(batch, time, n_experts)``.
        """
        return keep_largest(probabilities, self.k)

    def formula(self) -> Scored:
        """Return what the gate computes, with its θ as they are now."""
        return self.scored(k=self.k)


def theta_name(inputs: str, width: int, linear_name: str | None) -> str:
    """Return which θ applies; names of layers are written with ``/`` for ``.``."""
    if inputs == "per_width":
        return f"theta_{width}"
    if inputs == "per_linear" and linear_name is not None:
        return "theta_" + linear_name.replace(".", "/")
    return "theta"


def _key(name: str) -> str:
    """Return how a formula finds a θ: by layer, by width, or for all."""
    return name.removeprefix("theta").removeprefix("_") or "all"


def initial_tensors(ctx: ComposeContext, router: str, options: Any) -> dict[str, Tensor]:
    """Return every θ that the experts of ``ctx`` need, drawn from N(0, init_std²).

    Each is float32, shape ``(n_experts, width)``.

    Args:
        ctx: Base, experts and the seed that the draw depends on.
        router: Name of the router; the draw depends on it, too.
        options: Options of the router, a ``SoftmaxConfig``.
    """
    n = len(ctx.experts)
    widths = {"theta": int(text_config(ctx.base.model).hidden_size)}
    if SITES[options.inputs] == "linear":
        widths = {
            theta_name(options.inputs, factors.a.shape[1], site): int(factors.a.shape[1])
            for expert in ctx.experts.values()
            for site, factors in factors_of(expert).items()
        }
    return {
        name: torch.randn(n, width, generator=_generator(ctx.seed, router, name)) * options.init_std
        for name, width in sorted(widths.items())
    }


def _generator(seed: int, router: str, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, router, name))
