"""Routing by ridge regression: which domain a hidden state belongs to, solved in closed form.

The idea is that of DUME (https://github.com/gensyn-ai/dume), whose gates choose whole models: the
data of each expert says which hidden states are its own, so a gate needs no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import ComposeContext, Composition, Gate, Router, hookimpl
from selfmoe.kits.routers import TopKConfig, WeightConfig, newcomers

SELFMOE_API = 1


class Ridge(Router):
    """Closed form: ridge regression from the base's hidden states to the domain of their example.

    ``alpha = top-k(softmax(W x̂ / temperature))`` with ``W = ((XᵀX + λI)⁻¹ Xᵀ Y)ᵀ`` for each block,
    where the rows of X are the states that enter the block when the base alone reads the data, at
    unit mean square, and Y is 1 at the expert whose name is the example's domain, else 0. One pass
    without gradients. The sums stay with the composition: a new expert adds its own to them.
    """

    name = "ridge"
    label = "ridge"
    takes_k = True
    needs = frozenset({"data"})
    reference_url = "https://github.com/gensyn-ai/dume"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"weight": "softmax"}}

    class Config(WeightConfig):
        """Options of the ridge router."""

        k: int = Field(1, ge=1, description="Experts a token uses.")
        ridge: float = Field(
            1.0, gt=0, description="λ, added to the diagonal of the sum XᵀX over all tokens."
        )
        temperature: float = Field(
            0.1, gt=0, description="Divides the scores, which lie near 0 and 1; lower is sharper."
        )
        tokens: Literal["response", "all"] = Field(
            "response", description="Whose states are learnt from: responses, or prompts too."
        )
        shared: bool = Field(
            False, description="One W for all blocks, from the states of all of them together."
        )
        batch_size: int = Field(32, ge=1, description="Examples a forward pass.")

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the sums over the data of all experts, and the gate solved from them.

        Raises:
            CompositionError: If k is too large, or an expert has no examples.
        """
        from selfmoe_router_ridge.statistics import gather

        empty = replace(self.composition(ctx), experts=())
        return gather(ctx, self, empty, ctx.experts)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with further experts; only their own examples are read.

        It has the bits of one composed of all experts at once, as long as the examples of each
        domain come in the same order.
        """
        from selfmoe_router_ridge.statistics import gather

        new = newcomers(composition, ctx, self)
        return gather(ctx, self, composition, new)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe.kits.routers import TopKGate

        options = self.Config.model_validate(composition.options)
        softmax = TopKConfig(k=options.k, temperature=options.temperature, weight=options.weight)
        return TopKGate(softmax, {"theta": composition.tensors["theta"]})


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Ridge]
