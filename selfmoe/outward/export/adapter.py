"""A system as one LoRA adapter: an expert as it is, a merge exactly or at a chosen rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import Expert
from selfmoe.kits.merges import truncate
from selfmoe.mixture.adapters import Factors, by_site, factors_of
from selfmoe.mixture.saving import source_of
from selfmoe.outward.export.source import Source

RANK = 32
"""Of a merge whose deltas are of full rank, unless another is chosen."""


@dataclass(frozen=True)
class Adapter:
    """What a system adds to the base's linear layers, as one adapter.

    Attributes:
        factors: By layer.
        discarded: Share of the squared norm of all deltas that the rank left out, 0..1.
        whole: Whether nothing was left out, so that it answers as the system does.
    """

    factors: Mapping[str, Factors]
    discarded: float = 0.0
    whole: bool = True

    @property
    def rank(self) -> int:
        """Return the largest rank."""
        return max(part.rank for part in self.factors.values())

    def alike(self) -> tuple[Mapping[str, Factors], int, float]:
        """Return the factors with one rank and one scale for all layers, and these two.

        Where they differ, A and B are filled with zeros, and the scale goes into B.
        """
        parts, rank = self.factors.values(), self.rank
        if len({(part.rank, part.scale) for part in parts}) == 1:
            return self.factors, rank, next(iter(parts)).scale
        return {site: _filled(part, rank) for site, part in self.factors.items()}, rank, 1.0


def adapter_of(source: Source, rank: int | None = None) -> Adapter:
    """Return a static system as one adapter.

    Args:
        source: The system.
        rank: Its rank at the most; by default as it is, and 32 where a merge's deltas are whole.

    Raises:
        NotSupportedError: If the system routes.
    """
    if source.routes:
        raise NotSupportedError(
            f"'{source.system.name}' chooses experts while it runs, which no single adapter can do"
            "\n  --format hf exports it; its experts and merges export as adapters."
        )
    mixture = source.mixture
    deltas = source.composer.deltas(mixture.composition) if source.composer else {}
    if deltas:
        return _truncated(deltas, rank or RANK)
    paths = {name: source_of(mixture, name) for name in mixture.experts}
    sites = by_site([factors_of(Expert(name, path)) for name, path in paths.items()])
    exact = {site: _joined(list(parts.values())) for site, parts in sites.items()}
    if rank is None or rank >= Adapter(exact).rank:
        return Adapter(exact)
    return _truncated({site: part.delta() for site, part in exact.items()}, rank)


def _joined(parts: list[Factors]) -> Factors:
    """Return the sum of several experts' parts of a layer as one."""
    if len(parts) == 1:
        return parts[0]
    a = torch.cat([part.a.float() for part in parts])
    b = torch.cat([part.b.float() * part.scale for part in parts], 1)
    return Factors(a, b, 1.0)


def _truncated(deltas: Mapping[str, Tensor], rank: int) -> Adapter:
    low = {site: truncate(deltas[site], rank) for site in deltas}
    energy = sum(part.energy for part in low.values())
    discarded = sum(part.discarded for part in low.values()) / energy if energy else 0.0
    factors = {site: Factors(part.a, part.b, 1.0) for site, part in low.items()}
    return Adapter(factors, discarded, whole=discarded < 1e-12)


def _filled(part: Factors, rank: int) -> Factors:
    """Return the same with zeros up to a rank, at scale 1."""
    more = rank - part.rank
    a = torch.nn.functional.pad(part.a.float(), (0, 0, 0, more))
    return Factors(a, torch.nn.functional.pad(part.b.float() * part.scale, (0, more)), 1.0)
