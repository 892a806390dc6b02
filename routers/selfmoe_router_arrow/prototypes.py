"""Prototypes of experts: the main direction of what each adds to a layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from selfmoe.contracts import Expert
from selfmoe.kits.routers import Factors, by_site, factors_of


def prototypes(experts: Mapping[str, Expert]) -> dict[str, Tensor]:
    """Return, for every layer that an expert changes, the experts' prototypes below each other.

    Args:
        experts: The experts, in gate order.

    Returns:
        By layer, float32, shape ``(n_experts, in)``; zeros for an expert that adds nothing there.
    """
    tensors = {}
    for site, parts in by_site([factors_of(expert) for expert in experts.values()]).items():
        width = next(iter(parts.values())).a.shape[1]
        tensors[site] = torch.zeros(len(experts), width)
        for index, factors in parts.items():
            tensors[site][index] = direction(factors)
    return tensors


def direction(factors: Factors) -> Tensor:
    """Return the first right singular vector of ``s B A``, its sign open, float32, shape ``(in,)``.

    With ``B = Q_b R_b`` and ``Aᵀ = Q_a R_a`` the decomposition is one of the small matrix
    ``R_b R_aᵀ``, exact, and no delta is built. Zeros if the delta is zero.
    """
    q_a, r_a = torch.linalg.qr(factors.a.double().t())
    _, r_b = torch.linalg.qr(factors.b.double())
    _, values, vectors = torch.linalg.svd(r_b @ r_a.t())
    if not values[0] * factors.scale:
        return torch.zeros(len(q_a))
    found: Tensor = (q_a @ vectors[0]).float()
    return found
