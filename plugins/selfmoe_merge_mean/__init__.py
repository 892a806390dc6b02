"""The plainest merge: the mean of the experts' weight deltas. A control for all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from selfmoe.contracts import ComponentConfig, ComposeContext, Composition, Merge, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SELFMOE_API = 1


class Mean(Merge):
    """Static merge of the experts: the mean of their weight deltas ``s B A``.

    Equals routing every token to all experts with equal weights, at the cost of the base alone.
    """

    name = "mean"
    label = "mean"
    reference_url = "https://arxiv.org/abs/2203.05482"

    class Config(ComponentConfig):
        """Options of the mean."""

        scale: float = Field(1.0, gt=0, description="Factor of the mean.")
        rank: int | None = Field(
            None, ge=1, description="Store a rank-r SVD instead of the full delta: smaller, lossy."
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the mean delta of every layer; an expert without the layer counts as zero."""
        import torch

        from selfmoe.kits.merges import merge_deltas

        factor: float = self.options.scale / len(ctx.experts)

        def merge(site: str, deltas: Mapping[str, Tensor]) -> Tensor:
            # in the order of names, so that the order experts come in changes no bit
            ordered = [deltas[name] for name in sorted(deltas)]
            return torch.stack(ordered).sum(0) * factor

        tensors, report = merge_deltas(ctx, merge, rank=self.options.rank)
        return self.composition(ctx, tensors, report=report)


@hookimpl
def register_merges() -> list[type[Merge]]:
    """Return the merge of this package."""
    return [Mean]
