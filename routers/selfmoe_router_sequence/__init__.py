"""One decision a prompt: the experts are chosen once and then write the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    Composition,
    FitConfig,
    Router,
    hookimpl,
)
from selfmoe.kits.routers import LearnedRouter, WeightConfig

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe_router_sequence.gate import SequenceGate

SELFMOE_API = 1


class Sequence(LearnedRouter):
    """Router that decides once a prompt, learned or from statistics, and holds it to the end.

    One linear map θ without bias reads the mean over the prompt's tokens, at unit mean square: of
    what enters the first block (``embedding``, a bag of words that costs nothing), or of what the
    base alone makes of the prompt (``base``, which reads the prompt twice and no other token). The
    decision is kept with the KV cache.

    θ is ``learned`` as that of other routers, or comes from statistics of prompts, in one pass of
    the base over those of each expert's own domain and without training: by ``ridge`` regression on
    whose prompt it is, or as the ``centroid`` of each expert's prompts at unit mean square, the
    nearest of which wins. Both are classifiers of domains: nothing says that an expert is good at
    what looks like its data. Experts join by their own prompts; in whichever order, the bits are
    those of all at once.

    Where nobody says which tokens are the prompt, those of the first forward of a sequence are: so
    it is with ``generate``. A caller who sends prompt and answer in one forward, or generates
    without a cache, has to say so by ``mixture.annotate(prompt_mask=…)``; training and evaluation
    do.
    """

    name = "sequence"
    label = "sequence"
    takes_k = True
    fixed = ("fit", "inputs")
    needs = frozenset({"prompt_mask"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"train_k": "k", "weight": "softmax"}
    }

    class Config(WeightConfig, FitConfig):
        """Options of routing by sequence."""

        fit: Literal["learned", "ridge", "centroid"] = Field(
            "learned",
            description="Where θ comes from: training, or statistics of each expert's own prompts; "
            "of the options of training these use batch_size alone.",
        )
        ridge: float = Field(
            1.0, gt=0, description="λ, added to the diagonal of the sum XᵀX over all prompts."
        )
        k: int = Field(1, ge=1, description="Experts a sequence uses.")
        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a sequence uses while the router learns: all, or k."
        )
        inputs: Literal["embedding", "base"] = Field(
            "embedding",
            description="Whose mean over the prompt the router reads: what enters the first block, "
            "or the base's final hidden states.",
        )
        temperature: float | None = Field(
            None,
            gt=0,
            description="Divides the logits; lower is sharper. Default: 1 if learned, 0.1 for "
            "ridge, 0.01 for centroid.",
        )
        init_std: float = Field(
            0.02, gt=0, description="Standard deviation of the router's initial weights."
        )
        lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")

    def __init__(self, options: ComponentConfig | None = None) -> None:
        super().__init__(options)
        if self.options.fit != "learned":
            self.needs = self.needs | {"data"}

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the gate, trained on ``ctx.data`` or solved from the prompts in it.

        Raises:
            CompositionError: If k is too large, or an expert has no examples to be solved from.
        """
        if self.options.fit == "learned":
            return super().compose(ctx)
        from selfmoe_router_sequence.statistics import gather

        empty = replace(self.composition(ctx), experts=())
        return gather(ctx, self, empty, ctx.experts)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with further experts, trained as ``LearnedRouter`` does.

        With statistics only the new experts' own examples are read, and the result has the bits of
        a composition of all experts at once, as long as those of a domain come in the same order.

        Raises:
            CompositionError: If the composition is another router's or has other options, or its
                experts are not the first ones of ``ctx``.
        """
        if self.options.fit == "learned":
            return super().extend(composition, ctx)
        from selfmoe.kits.routers import newcomers
        from selfmoe_router_sequence.statistics import gather

        return gather(ctx, self, composition, newcomers(composition, ctx, self))

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
            gate.k, gate.weight = len(gate.theta), "softmax"


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Sequence]
