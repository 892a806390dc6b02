"""The gates of ``phatgoose``: of one expert while it learns, of all experts in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from selfmoe.contracts import Scored, Site, TokenInfo
from selfmoe.kits.routers import Weight, keep_largest, weigh_kept

Reads = Literal["hidden", "base_final_hidden", "embedding", "nothing"]
Sites = Literal["token", "block", "linear"]


def tensor_name(layer: str | None) -> str:
    """Return what a layer's vectors are called: parameters cannot have dots in their names."""
    return "gate_" + str(layer).replace(".", "/")


class SigmoidGate(nn.Module):
    """How much one expert shall act on a token in a layer: ``sigmoid(v x)``.

    Args:
        tensors: v by ``tensor_name``, each of shape ``(width,)``.
    """

    site: Sites = "linear"
    reads: Reads = "hidden"
    causal = True

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weight, float32, shape ``(batch, time, 1)``."""
        vector: Tensor = getattr(self, tensor_name(where.linear))
        return torch.sigmoid(linear(x.float(), vector.float()[None]))


class ComparingGate(nn.Module):
    """Softmax over the k experts with the largest ``v̂ x̂ / sqrt(width)``, 0 for the others.

    Args:
        tensors: The v of all experts by ``tensor_name``, each of shape ``(n_experts, width)``; zero
            for an expert that does not change the layer and is left out there.
        k: Experts a token uses.
        weight: ``one`` lets their weights sum to 1; with ``softmax`` it is over all experts.
    """

    site: Sites = "linear"
    reads: Reads = "hidden"
    causal = True

    def __init__(self, tensors: Mapping[str, Tensor], k: int, *, weight: Weight) -> None:
        super().__init__()
        self.k, self.weight = k, weight
        for name, vectors in tensors.items():
            self.register_buffer(name, standardise(vectors))
            absent = (vectors == 0).all(-1)
            absent &= ~absent.all()  # where none has learnt anything, all are alike
            self.register_buffer(f"{name}/absent", absent, persistent=False)

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights α, float32, shape ``(batch, time, n_experts)``."""
        name = tensor_name(where.linear)
        vectors: Tensor = getattr(self, name)
        logits = linear(standardise(x), vectors.float()) / x.shape[-1] ** 0.5
        logits = logits.masked_fill(getattr(self, f"{name}/absent"), -torch.inf)
        return weigh_kept(keep_largest(torch.softmax(logits, dim=-1), self.k), self.weight)

    def formula(self) -> Scored:
        """Return what the gate computes; experts without a part in a layer are left out there."""
        held = dict(self.named_buffers())
        names = [name for name in held if not name.endswith("/absent")]
        absent = {name: held[f"{name}/absent"] for name in names}
        return Scored(
            theta={name.removeprefix("gate_"): held[name] for name in names},
            bias={
                name.removeprefix("gate_"): torch.where(out, -torch.inf, 0.0)
                for name, out in absent.items()
            },
            normalise="standard",
            temperature=None,
            k=self.k,
            weight=self.weight,
        )


def standardise(x: Tensor) -> Tensor:
    """Return x of any shape in float32, at mean 0 and variance 1 over its last dimension."""
    return layer_norm(x.float(), x.shape[-1:])
