"""Arrow: every layer sends a token to the experts whose main direction it points in most.

Ostapenko et al., Towards Modular LLMs by Building and Reusing a Library of LoRAs
(https://arxiv.org/abs/2405.11157), section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from selfmoe.contracts import ComposeContext, Composition, Gate, Router, hookimpl
from selfmoe.kits.routers import UntrainedRouter, Weight, WeightConfig

if TYPE_CHECKING:
    from torch import Tensor

SELFMOE_API = 1


class Arrow(UntrainedRouter):
    """Training-free: experts are chosen by the main direction of what they add to each layer.

    An expert's prototype v in a layer is the first right singular vector of its delta ``s B A``:
    the input that it changes most. A token's score is ``|x . v|``, and its k experts of highest
    score get the softmax of their scores. An expert that leaves a layer as it is has no part in the
    choice there.
    """

    name = "arrow"
    label = "arrow"
    reference_url = "https://arxiv.org/abs/2405.11157"

    class Config(WeightConfig):
        """Options of Arrow."""

        k: int = Field(3, ge=1, description="Experts a token uses in a layer; all, if fewer.")
        temperature: float = Field(1.0, gt=0, description="Divides the scores; lower is sharper.")
        weight: Weight = Field(
            "one",
            description="Take the softmax over the k experts, so that their weights sum to 1 "
            "(one), or over all of them (softmax).",
        )

    def tensors(self, ctx: ComposeContext) -> Mapping[str, Tensor]:
        """Return the prototypes of the experts by layer, shape ``(n_experts, in)``.

        None depends on other experts.
        """
        from selfmoe_router_arrow.prototypes import prototypes

        return prototypes(ctx.experts)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_arrow.gate import ArrowGate

        options = self.Config.model_validate(composition.options)
        return ArrowGate(options, composition.tensors)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Arrow]
