"""DARE on tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from selfmoe.contracts import derive


def kept(shape: torch.Size, density: float, seed: int, site: str, expert: str) -> Tensor:
    """Return which entries of an expert's tensor of a shape stay, with probability ``density``."""
    generator = torch.Generator().manual_seed(derive(seed, "dare", site, expert))
    return torch.rand(shape, generator=generator) < density


def dare(deltas: Mapping[str, Tensor], density: float, seed: int, site: str) -> Tensor:
    """Return the sum of the experts' tensors after dropping entries and rescaling the rest.

    All have one shape, and so has the sum. Experts are added in the order of their names, so the
    order they come in changes no bit.
    """
    total = torch.zeros_like(next(iter(deltas.values())))
    for expert, delta in sorted(deltas.items()):
        total += delta * kept(delta.shape, density, seed, site, expert) / density
    return total
