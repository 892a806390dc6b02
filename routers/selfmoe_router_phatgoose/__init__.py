"""PHATGOOSE: every expert learns by itself which inputs it is for; a router compares what they say.

Post-Hoc Adaptive Tokenwise Gating Over an Ocean of Specialized Experts (arXiv 2402.05859).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from selfmoe.contracts import ComposeContext, Composition, FitConfig, Gate, Router, hookimpl
from selfmoe.kits.routers import Weight, WeightConfig

SELFMOE_API = 1


class Phatgoose(Router):
    """Gates trained apart: one vector for each expert and layer, learnt from its own data alone.

    In training, what an expert adds to a layer is multiplied by ``sigmoid(v x)`` and only v learns,
    by the loss on the examples of the expert's domain. When experts are together, ``alpha`` is the
    softmax of ``v̂ x̂ / sqrt(width)`` over the k experts for which that is largest; v̂ and x̂ are v
    and the layer's input at mean 0 and variance 1 (arXiv 2402.05859, section 3). Adding an expert
    trains its vectors and leaves the others alone.
    """

    name = "phatgoose"
    label = "phatgoose"
    takes_k = True
    needs = frozenset({"data"})
    reference_url = "https://arxiv.org/abs/2402.05859"

    class Config(WeightConfig, FitConfig):
        """Options of PHATGOOSE; rate, schedule and steps are those of its published code."""

        k: int = Field(2, ge=1, description="Experts a token uses in a layer.")
        weight: Weight = Field(
            "one",
            description="Take the softmax over the k experts, so that their weights sum to 1, as "
            "in the paper of PHATGOOSE (one), or over all of them (softmax).",
        )
        lr: float = Field(5e-3, gt=0, description="Peak learning rate of AdamW.")
        max_steps: int | None = Field(
            100, ge=1, description="Optimizer steps for each expert, at the most."
        )
        epochs: int = Field(
            100, ge=1, description="Passes over an expert's data, unless max_steps ends it earlier."
        )
        warmup: float = Field(
            0.06, ge=0, le=1, description="Share of the steps the rate rises over."
        )
        schedule: Literal["linear", "cosine", "constant"] = Field(
            "constant", description="How the learning rate falls after the warm-up."
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the vectors of all experts, each trained on the examples of its domain.

        Raises:
            CompositionError: If k is too large, or an expert has no examples.
        """
        from selfmoe_router_phatgoose.training import train

        empty = replace(self.composition(ctx), experts=())
        return train(ctx, self, empty, ctx.experts)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the vectors of further experts; the others stay as they are.

        It has the bits of one composed of all experts at once.
        """
        from selfmoe.kits.routers import newcomers
        from selfmoe_router_phatgoose.training import train

        new = newcomers(composition, ctx, self)
        return train(ctx, self, composition, new)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_phatgoose.gate import ComparingGate

        options = self.Config.model_validate(composition.options)
        return ComparingGate(composition.tensors, options.k, weight=options.weight)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Phatgoose]
