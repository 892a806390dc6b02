"""One decision a prompt: the experts are chosen once and then write the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import ComposeContext, FitConfig, Need, Router, hookimpl
from selfmoe.kits.routers import LearnedRouter

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe_router_sequence.gate import SequenceGate

SELFMOE_API = 1


class Sequence(LearnedRouter):
    """Learned router that decides once a prompt and holds it for the whole sequence.

    One linear map θ without bias reads the mean over the prompt's tokens, at unit mean square: of
    what enters the first block (``embedding``, a bag of words that costs nothing), or of what the
    base alone makes of the prompt (``base``, which reads the prompt twice and no other token). The
    decision is kept with the KV cache.

    Where nobody says which tokens are the prompt, those of the first forward of a sequence are: so
    it is with ``generate``. A caller who sends prompt and answer in one forward, or generates
    without a cache, has to say so by ``mixture.annotate(prompt_mask=…)``; training and evaluation
    do.
    """

    name = "sequence"
    label = "sequence"
    takes_k = True
    fixed = ("inputs",)
    needs: ClassVar[frozenset[Need]] = frozenset({"prompt_mask"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"train_k": "k"}}

    class Config(FitConfig):
        """Options of routing by sequence."""

        k: int = Field(1, ge=1, description="Experts a sequence uses.")
        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a sequence uses while the router learns: all, or k."
        )
        inputs: Literal["embedding", "base"] = Field(
            "embedding",
            description="Whose mean over the prompt the router reads: what enters the first block, "
            "or the base's final hidden states.",
        )
        temperature: float = Field(1.0, gt=0, description="Divides the logits; lower is sharper.")
        init_std: float = Field(
            0.02, gt=0, description="Standard deviation of the router's initial weights."
        )
        lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")

    def initial_tensors(self, ctx: ComposeContext) -> dict[str, Tensor]:
        """Return θ as initialised, shape ``(n_experts, width)``."""
        from selfmoe_router_sequence.gate import initial_tensors

        return initial_tensors(ctx, self.options)

    def gate_of(self, options: Any, tensors: Mapping[str, Tensor]) -> SequenceGate:
        """Return the gate with these options and ``theta`` of shape ``(n_experts, width)``."""
        from selfmoe_router_sequence.gate import SequenceGate

        return SequenceGate(options, tensors)

    def prepare(self, gate: SequenceGate) -> None:
        """Let a sequence use all experts while the gate learns, if it shall."""
        if self.options.train_k == "all":
            gate.k = len(gate.theta)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Sequence]
