"""Random routing: what is left of a mixture when nothing was learnt about whom to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    Composition,
    Gate,
    Router,
    derive,
    hookimpl,
)
from selfmoe.kits.routers import UntrainedRouter

if TYPE_CHECKING:
    from torch import Tensor

SELFMOE_API = 1


class Random(UntrainedRouter):
    """Control: every token takes k experts drawn at random in every block, with equal weights.

    The draw is a hash of seed, block, position and token, so it does not depend on batches,
    padding or the cache, and the same text is always routed the same way.
    """

    name = "random"
    label = "random"
    takes_k = True
    control = True

    class Config(ComponentConfig):
        """Options of random routing."""

        k: int = Field(1, ge=1, description="Experts a token uses.")
        weight: float | None = Field(
            None, gt=0, description="Weight of each of the k experts. Default: 1 / k."
        )

    def tensors(self, ctx: ComposeContext) -> Mapping[str, Tensor]:
        """Return the seed of the draw, int64, shape ``(1,)``."""
        import torch

        return {"seed": torch.tensor([derive(ctx.seed, "random")], dtype=torch.int64)}

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        The draw stays what it was, with more lots in it: an expert added takes tokens from others,
        and none change hands between these.
        """
        return replace(super().extend(composition, ctx), tensors=composition.tensors)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_random.gate import RandomGate

        options = self.Config.model_validate(composition.options)
        weight = options.weight if options.weight is not None else 1 / options.k
        seed = int(composition.tensors["seed"])
        return RandomGate(len(composition.experts), options.k, weight, seed)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Random]
