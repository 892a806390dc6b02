"""Merging true weight deltas ``s B A`` layer by layer; what merges have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters import by_site, factors_of
from selfmoe.models.structure import linears

MergeSite = Callable[[str, Mapping[str, Tensor]], Tensor]
"""Merges one layer: its name and the experts' tensors, all float32 and of one shape."""


class Truncated(NamedTuple):
    """A matrix of rank r and the squared norms of the original and of what was left out.

    Attributes:
        a: Shape ``(r, in)``, float32.
        b: Shape ``(out, r)``, float32.
        energy: Squared norm of the original.
        discarded: Squared norm of what was left out.
    """

    a: Tensor
    b: Tensor
    energy: float
    discarded: float


def merge_deltas(
    ctx: ComposeContext, merge: MergeSite, *, rank: int | None = None, factorwise: bool = False
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Merge the experts of ``ctx`` one layer at a time.

    An expert that does not change a layer contributes a delta of zeros there.

    Args:
        ctx: Experts and base.
        merge: How the tensors of one layer become one.
        rank: Store a rank-r approximation (SVD) instead of the full delta.
        factorwise: Merge ``sqrt(s) A`` and ``sqrt(s) B`` apart and multiply the results, as PEFT's
            ``ties`` and ``dare_linear`` do; depends on how each expert factors its delta.

    Returns:
        The tensors of the composition, for ``read_deltas``: by layer, shape ``(out, in)``, or with
        a rank ``a``, shape ``(rank, in)``, and ``b``, shape ``(out, rank)``; and its report:
        ``discarded_energy`` is the share, 0 to 1, of the squared norm of all deltas that truncation
        left out.

    Raises:
        CompositionError: If ``factorwise`` is asked for experts of different ranks or layers.
    """
    tensors: dict[str, Tensor] = {}
    energy = discarded = 0.0
    for site, delta in _merged(ctx, merge, factorwise):
        if rank is None:
            tensors[site] = delta.to(_stored_dtype(ctx, site)).contiguous()
            continue
        low = truncate(delta, rank)
        tensors[f"{site}/a"], tensors[f"{site}/b"] = low.a, low.b
        energy, discarded = energy + low.energy, discarded + low.discarded
    report = {
        "discarded_energy": discarded / energy if energy else 0.0,
        "stored_parameters": float(sum(tensor.numel() for tensor in tensors.values())),
        "added_parameters": 0.0,  # deltas take the place of weights
        "trained_parameters": 0.0,
    }
    return tensors, report


def _merged(
    ctx: ComposeContext, merge: MergeSite, factorwise: bool
) -> Iterator[tuple[str, Tensor]]:
    names = list(ctx.experts)
    for site, parts in by_site([factors_of(expert) for expert in ctx.experts.values()]).items():
        if factorwise:
            ranks = {part.rank for part in parts.values()}
            if len(parts) != len(names) or len(ranks) != 1:
                raise CompositionError(
                    f"factorwise: all experts must change {site} with the same rank; "
                    "merge their deltas instead (factorwise: false)"
                )
            a = {names[i]: f.a.float() * f.scale**0.5 for i, f in parts.items()}
            b = {names[i]: f.b.float() * f.scale**0.5 for i, f in parts.items()}
            yield site, merge(f"{site}.B", b) @ merge(f"{site}.A", a)
        else:
            shape = next(iter(parts.values())).delta().shape
            none = torch.zeros(shape)
            deltas = {n: parts[i].delta() if i in parts else none for i, n in enumerate(names)}
            yield site, merge(site, deltas)


def _stored_dtype(ctx: ComposeContext, site: str) -> torch.dtype:
    """Return the dtype of the weight a delta will be added to; more precision would be lost."""
    linear = linears(ctx.base.model).get(site)
    weight = None if linear is None else linear._parameters["weight"]
    return weight.dtype if weight is not None and weight.is_floating_point() else torch.float32


def truncate(delta: Tensor, rank: int) -> Truncated:
    """Return the best approximation of a matrix by ``b @ a`` of the given rank (or its own).

    It is found in double precision, so that at full rank no more is lost than float32 rounds off.

    Args:
        delta: Shape ``(out, in)``.
        rank: At the most; ``a`` has the shape ``(rank, in)``, ``b`` the shape ``(out, rank)``.
    """
    u, s, vh = torch.linalg.svd(delta.double(), full_matrices=False)
    root = s[:rank].sqrt()
    a, b = (root[:, None] * vh[:rank]).float(), (u[:, :rank] * root).float()
    return Truncated(
        a.contiguous(), b.contiguous(), float((s**2).sum()), float((s[rank:] ** 2).sum())
    )
