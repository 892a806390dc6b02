"""What an expert adds to a linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from selfmoe.contracts.errors import CompositionError

MAX_RANK = 1024
"""Largest rank that is read; PEFT adapters of higher rank are not low-rank any more."""

_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Factors(NamedTuple):
    """What an expert adds to one linear layer: ``scale * b @ a``.

    Attributes:
        a: Shape ``(rank, in)``, as stored.
        b: Shape ``(out, rank)``, as stored.
        scale: ``lora_alpha / r``, or ``lora_alpha / sqrt(r)`` for rsLoRA.
    """

    a: Tensor
    b: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Return the number of rows of A."""
        return int(self.a.shape[0])

    def delta(self) -> Tensor:
        """Return ``scale * b @ a`` in float32, shape ``(out, in)``."""
        return self.scale * (self.b.float() @ self.a.float())


def by_site(factors: Sequence[Mapping[str, Factors]]) -> dict[str, dict[int, Factors]]:
    """Return, for every layer that any expert changes, what those experts add, by their index.

    Args:
        factors: What each expert adds to each layer.
    """
    sites: dict[str, dict[int, Factors]] = {}
    for index, expert in enumerate(factors):
        for site, part in expert.items():
            sites.setdefault(site, {})[index] = part
    return dict(sorted(sites.items()))


def adds_nothing(a: Tensor, b: Tensor) -> bool:
    """Return whether two factors have rank 0: they fit, and add nothing.

    Args:
        a: Shape ``(rank, in)``, if it is a LoRA's.
        b: Shape ``(out, rank)``, if it is a LoRA's.
    """
    return a.dim() == b.dim() == 2 and a.shape[0] == b.shape[1] == 0


def check_pair(where: str, a: Tensor, b: Tensor) -> None:
    """Refuse two factors that are no LoRA of a linear layer.

    Args:
        where: What the layer is called in the error.
        a: Shape ``(rank, in)``.
        b: Shape ``(out, rank)``.

    Raises:
        CompositionError: If their shapes or number formats are others, or numbers are not finite.
    """
    if a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
        raise CompositionError(
            f"{where}: A of shape {tuple(a.shape)} and B of shape {tuple(b.shape)} do not fit"
        )
    for factor in (a, b):
        if factor.dtype not in _NUMBERS:
            kind = str(factor.dtype).removeprefix("torch.")
            raise CompositionError(
                f"{where}: the weights are {kind} numbers; expected float32, bfloat16 or float16"
                "\n  Save the adapter in one of these; quantised ones lack their scales here."
            )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise CompositionError(f"{where}: the weights hold infinite or undefined values")
