"""Random routing: what is left of a mixture when nothing was learnt about whom to ask."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    Composition,
    CompositionError,
    Gate,
    Router,
    check_k,
    hookimpl,
)

SELFMOE_API = 1


class Random(Router):
    """Control: every token takes k experts drawn at random in every block, with equal weights.

    The draw is a hash of seed, block, position and token, so it does not depend on batches,
    padding or the cache, and the same text is always routed the same way.
    """

    name = "random"
    label = "random"
    control = True

    class Config(ComponentConfig):
        """Options of random routing."""

        k: int = Field(1, ge=1, description="Experts a token uses.")
        weight: float | None = Field(
            None, gt=0, description="Weight of each of the k experts. Default: 1 / k."
        )

    def check(self, n_experts: int) -> str | None:
        """Return that k is too large, if it is."""
        return check_k(self.options.k, n_experts)

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the seed of the draw; nothing is trained.

        Raises:
            CompositionError: If k is larger than the number of experts.
        """
        import torch

        from selfmoe.contracts import derive
        from selfmoe.kits.routers import references

        if problem := self.check(len(ctx.experts)):
            raise CompositionError(problem)
        return Composition(
            composer=self.name,
            options=self.options.model_dump(mode="json"),
            experts=references(ctx.experts),
            tensors={"seed": torch.tensor([derive(ctx.seed, "random")], dtype=torch.int64)},
            report={"added_parameters": 0.0, "trained_parameters": 0.0},
        )

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        The draw stays what it was, with more lots in it: an expert added takes tokens from others,
        and none change hands between these.
        """
        from selfmoe.kits.routers import check_extends

        check_extends(composition, ctx, self)
        return replace(self.compose(ctx), tensors=composition.tensors)

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
