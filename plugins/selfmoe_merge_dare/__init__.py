"""DARE merging of the experts' true weight deltas: drop at random, rescale, add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from selfmoe.contracts import ComponentConfig, ComposeContext, Composition, Merge, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SELFMOE_API = 1


class Dare(Merge):
    """Static merge of the experts by DARE: drop entries at random, rescale the rest, add.

    Works on the true deltas ``s B A`` in float32, so the way an expert factors its delta does not
    matter. What is dropped depends on the seed, the layer and the expert's name only.
    """

    name = "dare"
    label = "dare"
    default = True
    reference_url = "https://arxiv.org/abs/2311.03099"

    class Config(ComponentConfig):
        """Options of DARE."""

        density: float = Field(
            0.5, gt=0, le=1, description="Probability that an entry is kept; 1 / it rescales."
        )
        weight: float | None = Field(
            None, gt=0, description="Weight of every expert. Default: 1 / number of experts."
        )
        rank: int | None = Field(
            None, ge=1, description="Store a rank-r SVD instead of the full delta: smaller, lossy."
        )
        factorwise: bool = Field(
            False, description="Merge A and B apart, as PEFT does; depends on the factoring."
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the merged delta of every layer."""
        from selfmoe.kits.merges import merge_deltas
        from selfmoe_merge_dare.merge import dare

        options, n = self.options, len(ctx.experts)
        weight = options.weight if options.weight is not None else 1 / n
        if options.factorwise:  # each of the two factors carries its square root
            weight = weight**0.5

        def merge(site: str, deltas: Mapping[str, Tensor]) -> Tensor:
            return dare(deltas, options.density, ctx.seed, site) * weight

        tensors, report = merge_deltas(ctx, merge, rank=options.rank, factorwise=options.factorwise)
        return self.composition(ctx, tensors, report=report)


@hookimpl
def register_merges() -> list[type[Merge]]:
    """Return the merge of this package."""
    return [Dare]
