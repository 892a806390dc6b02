"""X-LoRA's router: it reads what the base alone makes of a token before any expert is used.

X-LoRA (Buehler and Buehler 2024, https://arxiv.org/abs/2402.07148), with which the authors of
Self-MoE (arXiv 2406.12034) did their routing: ``alpha = top-k(softmax(f(x)))``, x being the final
hidden state of a pass of the base with all experts off, f a linear map or a small MLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.components import ComposeContext, FitConfig, Gate, Router, check_k
from selfmoe.errors import CompositionError
from selfmoe.hookspecs import hookimpl
from selfmoe.records import Composition

if TYPE_CHECKING:
    from selfmoe_router_xlora.gate import XLoraGate

SELFMOE_API = 1


class XLora(Router):
    """Learned router of two passes: what the base alone makes of a token decides (X-LoRA).

    A token has the same weights in all blocks (``layerwise``: its own in each), computed from the
    base's final hidden state, after the last norm. They are not renormalised. A forward costs two;
    with a KV cache both passes are cached.

    Unlike X-LoRA in PEFT (``XLoraConfig``), it serves any decoder and experts of any names, ranks
    and targets, learns under gradient checkpointing, and can be saved: PEFT 0.20 and 0.21 write the
    experts and lose the classifier. PEFT's classifier computes in the base's dtype and always has a
    bias, this one computes in float32; PEFT's ``layerwise_scalings`` are one α a LoRA layer, here
    it is one a decoder block.
    """

    name = "xlora"
    label = "xlora"
    reference_url = "https://arxiv.org/abs/2402.07148"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"k": 1, "train_k": "k", "bias": False}
    }

    class Config(FitConfig):
        """Options of X-LoRA's router."""

        k: int = Field(0, ge=0, description="Experts a token uses; 0: all.")
        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a token uses while the router learns: all, or k."
        )
        layerwise: bool = Field(False, description="Weigh the experts anew in every decoder block.")
        depth: int = Field(1, ge=1, description="Layers of the classifier; 1: a linear map.")
        size: int = Field(2048, ge=1, description="Width of the classifier between its layers.")
        bias: bool = Field(True, description="Whether the classifier's last layer has a bias.")
        temperature: float = Field(1.0, gt=0, description="Divides the logits; lower is sharper.")
        init_std: float = Field(
            0.02, gt=0, description="Standard deviation of the last layer's initial weights."
        )
        lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")

    def check(self, n_experts: int) -> str | None:
        """Return that k is too large, if it is."""
        return check_k(self.options.k, n_experts)

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the classifier, trained alone on ``ctx.data``; without data, as initialised.

        Raises:
            CompositionError: If k is larger than the number of experts.
        """
        from selfmoe.mixture.learning import learn

        start = self._initial(ctx)
        learns = bool(ctx.data) and len(ctx.experts) > 1  # the weight of a single expert is 1
        size = float(sum(tensor.numel() for tensor in start.tensors.values()))
        facts = {"added_parameters": size, "trained_parameters": size if learns else 0.0}
        start = replace(start, report=facts)
        return learn(ctx, self, start, prepare=self._as_it_learns) if learns else start

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_xlora.gate import XLoraGate

        options: Any = self.Config.model_validate(composition.options)
        return XLoraGate(options, composition.tensors)

    def _initial(self, ctx: ComposeContext) -> Composition:
        from selfmoe.mixture.storage import references
        from selfmoe_router_xlora.gate import initial_tensors

        if problem := self.check(len(ctx.experts)):
            raise CompositionError(problem)
        return Composition(
            composer=self.name,
            options=self.options.model_dump(mode="json"),
            experts=references(ctx.experts),
            tensors=initial_tensors(ctx, self.options),
        )

    def _as_it_learns(self, gate: XLoraGate) -> None:
        if self.options.train_k == "all":
            gate.k = 0


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [XLora]
