"""X-LoRA's router: it reads what the base alone makes of a token before any expert is used.

X-LoRA (Buehler and Buehler 2024, https://arxiv.org/abs/2402.07148), with which the authors of
Self-MoE (arXiv 2406.12034) did their routing: ``alpha = top-k(softmax(f(x)))``, x being the final
hidden state of a pass of the base with all experts off, f a linear map or a small MLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import ComposeContext, FitConfig, Router, hookimpl
from selfmoe.kits.routers import LearnedRouter

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe_router_xlora.gate import XLoraGate

SELFMOE_API = 1


class XLora(LearnedRouter):
    """Learned router of two passes: what the base alone makes of a token decides (X-LoRA).

    A token has the same weights in all blocks (``layerwise``: its own in each), computed from the
    base's final hidden state, after the last norm. They are not renormalised. A forward costs two;
    with a KV cache both passes are cached. Experts can be added: the classifier's last layer gets
    rows for them, all else stays bit for bit.

    Unlike X-LoRA in PEFT (``XLoraConfig``), it serves any decoder and experts of any names, ranks
    and targets, learns under gradient checkpointing, and can be saved: PEFT 0.20 and 0.21 write the
    experts and lose the classifier. PEFT's classifier computes in the base's dtype and always has a
    bias, this one computes in float32; PEFT's ``layerwise_scalings`` are one α a LoRA layer, here
    it is one a decoder block.
    """

    name = "xlora"
    label = "xlora"
    takes_k = True
    reference_url = "https://arxiv.org/abs/2402.07148"
    fixed = ("layerwise", "depth", "size", "bias")
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

    def initial_tensors(self, ctx: ComposeContext) -> dict[str, Tensor]:
        """Return the classifier as initialised; shapes as in ``gate.initial_tensors``."""
        from selfmoe_router_xlora.gate import initial_tensors

        return initial_tensors(ctx, self.options)

    def gate_of(self, options: Any, tensors: Mapping[str, Tensor]) -> XLoraGate:
        """Return the gate with these options and tensors, of the shapes of ``initial_tensors``."""
        from selfmoe_router_xlora.gate import XLoraGate

        return XLoraGate(options, tensors)

    def prepare(self, gate: XLoraGate) -> None:
        """Let a token use all experts while the gate learns, if it shall."""
        if self.options.train_k == "all":
            gate.k = 0


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [XLora]
