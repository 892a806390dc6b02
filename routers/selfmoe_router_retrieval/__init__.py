"""Two levels: a few of many experts are retrieved for a prompt, and its tokens routed among these.

The first level is that of LoraRetriever (arXiv 2402.09997), the second a nearest-class-mean
classifier of tokens in the place of its fixed mixture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from selfmoe.contracts import ComposeContext, Composition, Gate, Router, hookimpl
from selfmoe.kits.routers import WeightConfig

SELFMOE_API = 1


class Retrieval(Router):
    """Two levels for many experts: a prompt retrieves m of them, its tokens are routed among these.

    All is distance to centroids, means of what the base alone makes of an expert's own examples.
    First level, once a prompt: the m experts with the least ``‖x̂ − p_i‖``, x̂ being the mean over
    the prompt's tokens of what enters the first block (``embedding``) or of the base's final states
    (``base``) at unit mean square, ``p_i`` the mean of x̂ over the prompts of expert i. What was
    retrieved is kept with the KV cache. Second level, for every token in every block:
    ``alpha = top-k(softmax(−‖ĥ − c_i‖² / (2 width temperature)))`` over the m alone, ĥ being the
    state that enters the block at unit mean square, ``c_i`` the mean of ĥ over the response tokens
    of expert i there: what is most likely if the tokens of each expert scatter alike around c_i.

    LoraRetriever (arXiv 2402.09997) retrieves by the embeddings of a sentence encoder, and averages
    what it has retrieved: that is ``k: m`` with a large ``temperature``. Nothing is trained, and
    nothing of an expert depends on another: one that joins costs its own examples' forwards,
    however many there are, and leaves the numbers of all others as they are. Both levels tell
    domains apart: nothing says that an expert is good at what looks like its data.

    Where nobody says which tokens are the prompt, those of the first forward of a sequence are, as
    for the router ``sequence``.
    """

    name = "retrieval"
    label = "retrieval"
    takes_k = True
    needs = frozenset({"data", "prompt_mask"})
    reference_url = "https://arxiv.org/abs/2402.09997"

    class Config(WeightConfig):
        """Options of retrieval."""

        m: int = Field(
            4, ge=1, description="Experts retrieved for a prompt; all, if there are no more."
        )
        k: int = Field(1, ge=1, description="Experts a token uses, of those retrieved.")
        inputs: Literal["embedding", "base"] = Field(
            "embedding",
            description="Whose mean over the prompt retrieves: what enters the first block, or the "
            "base's final hidden states, for which the base reads the prompt first.",
        )
        temperature: float = Field(
            0.01, gt=0, description="Divides the scores of tokens; lower is sharper."
        )
        batch_size: int = Field(32, ge=1, description="Examples a forward pass.")

        @model_validator(mode="after")
        def _check_k(self) -> Any:
            if self.k > self.m:
                raise ValueError(f"k = {self.k} of only m = {self.m} retrieved; k is at most m")
            return self

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the centroids of all experts, each of the examples of its own domain.

        Raises:
            CompositionError: If k is too large, or an expert has no examples.
        """
        from selfmoe_router_retrieval.centroids import gather

        empty = replace(self.composition(ctx), experts=())
        return gather(ctx, self, empty, ctx.experts)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with further experts; only their own examples are read.

        It has the bits of one composed of all experts at once, in whichever order they come, as
        long as the examples of each domain come in the same order.
        """
        from selfmoe.kits.routers import newcomers
        from selfmoe_router_retrieval.centroids import gather

        return gather(ctx, self, composition, newcomers(composition, ctx, self))

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_retrieval.gate import RetrievalGate

        options = self.Config.model_validate(composition.options)
        return RetrievalGate(options, composition.tensors)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Retrieval]
