"""Routers whose gate is a softmax over the experts, of one linear map of what it reads.

They differ in which of the probabilities they keep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from selfmoe.components.component import FitConfig
from selfmoe.components.composer import ComposeContext, Gate, Router
from selfmoe.errors import CompositionError
from selfmoe.records import Composition

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.mixture.softmax import SoftmaxGate


class SoftmaxConfig(FitConfig):
    """Options of routers with a softmax gate."""

    inputs: Literal["block_input", "embedding", "per_width", "per_linear"] = Field(
        "block_input", description="What the router reads, and how often."
    )
    renormalise: bool = Field(
        False, description="Let the weights of the experts that are kept sum to 1."
    )
    temperature: float = Field(1.0, gt=0, description="Divides the logits; lower is sharper.")
    init_std: float = Field(
        0.02, gt=0, description="Standard deviation of the router's initial weights."
    )
    load_balance: float = Field(
        0.0,
        ge=0,
        description="Weight of the load-balance loss of Switch Transformers: 1 when all experts "
        "get as many response tokens as one another, at most their number.",
    )
    z_loss: float = Field(
        0.0, ge=0, description="Weight of the router z-loss of ST-MoE, which keeps logits small."
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")


class SoftmaxRouter(Router):
    """A learned router with ``softmax(theta x / temperature)``, of which it keeps a part.

    With ``block_input`` one linear map θ, shared by all blocks and without bias, reads the residual
    stream that enters a block, scaled to unit mean square in float32. ``embedding`` reads what
    enters the first block, ``per_width`` has one θ for each width of layer inputs, ``per_linear``
    one for each layer.

    Subclasses derive their ``Config`` from ``SoftmaxConfig``.
    """

    @abstractmethod
    def softmax_gate(self, options: Any, tensors: Mapping[str, Tensor]) -> SoftmaxGate:
        """Return the gate with these options and these θ by name."""

    @abstractmethod
    def trains_all(self) -> bool:
        """Return whether a token uses all experts while the router learns."""

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        options: Any = self.Config.model_validate(composition.options)
        return self.softmax_gate(options, composition.tensors)

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the gate, trained alone on ``ctx.data``; without data, as initialised.

        Raises:
            CompositionError: If these options cannot work with so many experts.
        """
        return self._learnt(ctx, self._initial(ctx), {})

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        Every θ gets a row for each of them, trained alone on ``ctx.data``; the rows that were
        there stay bit for bit. A θ that is new altogether, because an added expert changes layers
        or widths that none did before, is trained whole.

        Raises:
            CompositionError: If the composition is another router's, reads other inputs, or its
                experts are not the first ones of ``ctx``.
        """
        from selfmoe.mixture.extending import check_extends
        from selfmoe.mixture.softmax import grown

        check_extends(composition, ctx, self)
        if (reads := composition.options.get("inputs")) != self.options.inputs:
            raise CompositionError(
                f"the composition's router reads {reads}, not {self.options.inputs}; set inputs to "
                f"{reads}, or compose anew"
            )
        new, kept = self._initial(ctx), {n: len(t) for n, t in composition.tensors.items()}
        start = replace(new, tensors=grown(composition.tensors, new.tensors))
        return self._learnt(ctx, start, kept)

    def _initial(self, ctx: ComposeContext) -> Composition:
        from selfmoe.mixture.softmax import initial_tensors
        from selfmoe.mixture.storage import references

        if problem := self.check(len(ctx.experts)):
            raise CompositionError(problem)
        told = self.options.model_dump(mode="json")
        tensors = initial_tensors(ctx, self.name, self.options)
        return Composition(self.name, told, references(ctx.experts), tensors)

    def _learnt(
        self, ctx: ComposeContext, start: Composition, kept: Mapping[str, int]
    ) -> Composition:
        """Return the composition trained, the first ``kept`` rows of each θ excepted."""
        from selfmoe.mixture.learning import learn
        from selfmoe.mixture.penalties import RoutingPenalty

        learns = bool(ctx.data) and len(ctx.experts) > 1  # the weight of a single expert is 1
        size = sum(t.numel() for t in start.tensors.values())
        old = sum(t[: kept.get(name, 0)].numel() for name, t in start.tensors.items())
        facts = {"added_parameters": size, "trained_parameters": size - old if learns else 0}
        start = replace(start, report={name: float(value) for name, value in facts.items()})
        if not learns:
            return start
        penalty = None
        if self.options.load_balance or self.options.z_loss:
            penalty = RoutingPenalty(self.options.load_balance, self.options.z_loss)
        return learn(ctx, self, start, prepare=self._prepare, kept=kept, penalty=penalty)

    def _prepare(self, gate: SoftmaxGate) -> None:
        gate.keep_all = self.trains_all()
