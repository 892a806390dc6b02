"""Routers whose gate is trained alone by the loss on the responses, a row of tensors an expert."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from selfmoe.contracts.composer import ComposeContext, Gate, Router
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Composition

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.kits.routers.penalties import RoutingPenalty


class LearnedRouter(Router):
    """A router that is its gate's tensors: initialised, trained, and grown by further experts.

    The first dimension of a tensor is that of the experts, unless the tensor belongs to all of
    them; then experts that are added leave it as it is.

    Attributes:
        fixed: Options that have to stay as they were when experts are added.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def initial_tensors(self, ctx: ComposeContext) -> dict[str, Tensor]:
        """Return the gate's tensors before it learns, reproducibly from the context's seed.

        Their shape is ``(n_experts, …)``, but for those that belong to all experts.
        """

    @abstractmethod
    def gate_of(self, options: Any, tensors: Mapping[str, Tensor]) -> Gate:
        """Return the gate with these options and tensors, of ``initial_tensors``'s shapes."""

    def prepare(self, gate: Any) -> None:
        """Make a gate behave as it shall while it learns."""

    def penalty(self) -> RoutingPenalty | None:
        """Return what is added to the loss for how the gate chooses, if anything."""
        return None

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        return self.gate_of(self.Config.model_validate(composition.options), composition.tensors)

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the gate, trained alone on ``ctx.data``; without data, as initialised.

        Raises:
            CompositionError: If these options cannot work with so many experts.
        """
        return self._learnt(ctx, self._initial(ctx), {})

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        Every tensor gets a row for each of them, trained alone on ``ctx.data`` (without data: as
        initialised); the rows that were there stay bit for bit. A tensor that is new altogether,
        because an added expert changes layers or widths that none did before, is trained whole.

        Raises:
            CompositionError: If the composition is another router's or has other ``fixed`` options,
                or its experts are not the first ones of ``ctx``.
        """
        from selfmoe.kits.routers.extending import check_extends, grown

        check_extends(composition, ctx, self)
        for name in self.fixed:
            if (was := composition.options.get(name)) != (now := getattr(self.options, name)):
                raise CompositionError(
                    f"the composition's router has {name}={was}, not {now}; set {name} to {was}, "
                    "or compose anew"
                )
        new, kept = self._initial(ctx), {n: len(t) for n, t in composition.tensors.items()}
        start = replace(new, tensors=grown(composition.tensors, new.tensors))
        return self._learnt(ctx, start, kept)

    def _initial(self, ctx: ComposeContext) -> Composition:
        return replace(self.composition(ctx), tensors=self.initial_tensors(ctx))

    def _learnt(
        self, ctx: ComposeContext, start: Composition, kept: Mapping[str, int]
    ) -> Composition:
        """Return the composition trained, the first ``kept`` rows of each tensor excepted."""
        from selfmoe.kits.routers.learning import learn

        learns = bool(ctx.data) and len(ctx.experts) > 1  # the weight of a single expert is 1
        size = sum(t.numel() for t in start.tensors.values())
        old = sum(t[: kept.get(name, 0)].numel() for name, t in start.tensors.items())
        facts = {"added_parameters": size, "trained_parameters": size - old if learns else 0}
        start = replace(start, report={name: float(value) for name, value in facts.items()})
        if not learns:
            return start
        return learn(ctx, self, start, prepare=self.prepare, kept=kept, penalty=self.penalty())
