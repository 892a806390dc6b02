"""Arrow: every layer sends a token to the experts whose main direction it points in most.

Ostapenko et al., Towards Modular LLMs by Building and Reusing a Library of LoRAs
(https://arxiv.org/abs/2405.11157), section 4.2.
"""

from __future__ import annotations

from pydantic import Field

from selfmoe.contracts import ComponentConfig, ComposeContext, Composition, Gate, Router, hookimpl

SELFMOE_API = 1


class Arrow(Router):
    """Training-free: experts are chosen by the main direction of what they add to each layer.

    An expert's prototype v in a layer is the first right singular vector of its delta ``s B A``:
    the input that it changes most. A token's score is ``|x . v|``, and its k experts of highest
    score get the softmax of their scores. An expert that leaves a layer as it is has no part in the
    choice there.
    """

    name = "arrow"
    label = "arrow"
    reference_url = "https://arxiv.org/abs/2405.11157"

    class Config(ComponentConfig):
        """Options of Arrow."""

        k: int = Field(3, ge=1, description="Experts a token uses in a layer; all, if fewer.")
        temperature: float = Field(1.0, gt=0, description="Divides the scores; lower is sharper.")
        renormalise: bool = Field(
            True,
            description="Take the softmax over the k experts, so that their weights sum to 1; if "
            "not, over all of them.",
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the prototypes of the experts of ``ctx``; nothing is trained."""
        from selfmoe.kits.routers import factors_of, references
        from selfmoe_router_arrow.prototypes import prototypes

        tensors = prototypes({name: factors_of(expert) for name, expert in ctx.experts.items()})
        size = float(sum(tensor.numel() for tensor in tensors.values()))
        report = {"added_parameters": size, "trained_parameters": 0.0}
        told = self.options.model_dump(mode="json")
        return Composition(self.name, told, references(ctx.experts), tensors, report=report)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        Equals composing all of them anew, for the prototypes of experts do not depend on others.
        """
        from selfmoe.kits.routers import check_extends

        check_extends(composition, ctx, self)
        return self.compose(ctx)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_arrow.gate import ArrowGate

        options = self.Config.model_validate(composition.options)
        return ArrowGate(options, composition.tensors)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Arrow]
