"""TIES merging of the experts' true weight deltas: trim, elect sign, disjoint mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from selfmoe.contracts import ComponentConfig, ComposeContext, Composition, Merge, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SELFMOE_API = 1


class Ties(Merge):
    """Static merge of the experts by TIES: trim, elect a sign, average what agrees.

    Works on the true deltas ``s B A`` in float32, so the way an expert factors its delta does not
    matter. Every layer of every expert is trimmed to its own largest entries (the paper trims each
    task vector as a whole, which cannot be done one layer at a time).
    """

    name = "ties"
    label = "ties"
    default = True
    reference_url = "https://arxiv.org/abs/2306.01708"

    class Config(ComponentConfig):
        """Options of TIES."""

        density: float = Field(
            0.5, gt=0, le=1, description="Share of each delta's entries kept, largest first."
        )
        scale: float = Field(1.0, gt=0, description="λ: factor of the merged delta.")
        rank: int | None = Field(
            None, ge=1, description="Store a rank-r SVD instead of the full delta: smaller, lossy."
        )
        factorwise: bool = Field(
            False, description="Merge A and B apart, as PEFT does; depends on the factoring."
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the merged delta of every layer."""
        from selfmoe.kits.merges import merge_deltas
        from selfmoe_merge_ties.merge import ties

        options, scale = self.options, float(self.options.scale)
        if options.factorwise:  # each of the two factors carries its square root
            scale = scale**0.5

        def merge(site: str, deltas: Mapping[str, Tensor]) -> Tensor:
            return ties(list(deltas.values()), options.density) * scale

        tensors, report = merge_deltas(ctx, merge, rank=options.rank, factorwise=options.factorwise)
        return self.composition(ctx, tensors, report=report)


@hookimpl
def register_merges() -> list[type[Merge]]:
    """Return the merge of this package."""
    return [Ties]
