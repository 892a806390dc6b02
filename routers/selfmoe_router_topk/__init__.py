"""MiXSE's router: softmax over the experts, the k largest weights kept, the rest left to the base.

Self-MoE (arXiv 2406.12034), section 3.3: ``h = W0 x + sum_i alpha_i B_i A_i x`` with
``alpha = top-k(softmax(theta x))``, not renormalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from selfmoe.components import ComposeContext, FitConfig, Gate, Router, check_k
from selfmoe.errors import CompositionError
from selfmoe.hookspecs import hookimpl
from selfmoe.records import Composition

if TYPE_CHECKING:
    from selfmoe_router_topk.gate import TopKGate

SELFMOE_API = 1


class TopK(Router):
    """Learned router: every token takes its k most probable experts in every block (MiXSE).

    With ``block_input`` one linear map θ, shared by all blocks and without bias, reads the residual
    stream that enters a block, scaled to unit mean square in float32: the paper's formula applies
    one θ to all layers, whose inputs differ in width. The other inputs are variants:
    ``embedding`` reads what enters the first block, ``per_width`` has one θ for each width of
    layer inputs, ``per_linear`` one for each layer.
    """

    name = "topk"
    label = "mixse"
    default = True
    reference_url = "https://arxiv.org/abs/2406.12034"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"train_k": "k"}}

    class Config(FitConfig):
        """Options of the MiXSE router."""

        k: int = Field(1, ge=1, description="Experts a token uses.")
        inputs: Literal["block_input", "embedding", "per_width", "per_linear"] = Field(
            "block_input", description="What the router reads, and how often."
        )
        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a token uses while the router learns: all, or k."
        )
        renormalise: bool = Field(
            False, description="Let the weights of the k experts sum to 1; for k of 2 or more."
        )
        temperature: float = Field(1.0, gt=0, description="Divides the logits; lower is sharper.")
        init_std: float = Field(
            0.02, gt=0, description="Standard deviation of the router's initial weights."
        )
        lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")

        @model_validator(mode="after")
        def _check_renormalise(self) -> TopK.Config:
            if self.renormalise and self.k == 1:
                raise ValueError(
                    "renormalise needs k of 2 or more: a single weight would always be 1, "
                    "and the router could not learn"
                )
            return self

    def check(self, n_experts: int) -> str | None:
        """Return that k is too large, if it is."""
        return check_k(self.options.k, n_experts)

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the gate, trained alone on ``ctx.data``; without data, as initialised."""
        from selfmoe.mixture.learning import learn
        from selfmoe.mixture.storage import references
        from selfmoe_router_topk.gate import initial_tensors

        if problem := self.check(len(ctx.experts)):
            raise CompositionError(problem)
        composition = Composition(
            composer=self.name,
            options=self.options.model_dump(mode="json"),
            experts=references(ctx.experts),
            tensors=initial_tensors(ctx, self.options),
        )
        learns = bool(ctx.data) and len(ctx.experts) > 1  # the weight of a single expert is 1
        size = float(sum(tensor.numel() for tensor in composition.tensors.values()))
        facts = {"added_parameters": size, "trained_parameters": size if learns else 0.0}
        composition = replace(composition, report=facts)
        return learn(ctx, self, composition, prepare=self._as_it_learns) if learns else composition

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_topk.gate import TopKGate

        options: Any = self.Config.model_validate(composition.options)
        return TopKGate(options, composition.tensors)

    def _as_it_learns(self, gate: TopKGate) -> None:
        if self.options.train_k == "all":
            gate.k = gate.n_experts


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [TopK]
