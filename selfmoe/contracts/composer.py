"""How experts become one system: routers and merges."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import CompositionError, NotSupportedError, counted
from selfmoe.contracts.records import Composition, Example, Expert, ExpertRef, LoadedBase
from selfmoe.contracts.trainer import Teacher, Trainer

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.contracts.fitting import Fitting


class Site(NamedTuple):
    """Where in the model a gate is asked: decoder block index and, if per linear, its name."""

    block: int
    linear: str | None = None


class TokenInfo(NamedTuple):
    """What a gate may know about the tokens of the current forward, besides hidden states.

    Attributes:
        input_ids: Token ids, shape ``(batch, time)``.
        attention_mask: 1 for real tokens, shape ``(batch, total time)``, the last columns being the
            current tokens, or ``None``.
        position_ids: Position of each token, padding not counted, shape ``(batch, time)``.
        prompt_mask: True on prompt tokens, shape ``(batch, time)``, or ``None`` if not known.
        domain: Domain label of each row, or ``None`` if not known.
        candidates: Experts that a gate of two levels has retrieved for each row, by their index,
            shape ``(batch, m)``; ``None`` for other gates.
    """

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None
    prompt_mask: Tensor | None = None
    domain: Sequence[str] | None = None
    candidates: Tensor | None = None


class Gate(Protocol):
    """An ``nn.Module`` that says how much of each expert a token gets."""

    @property
    def site(self) -> Literal["sequence", "token", "block", "linear"]:
        """How often it is asked: once a sequence, a forward, a decoder block, or for every linear.

        What it says of a sequence holds for all tokens: it is asked in the first forward of the
        sequence, and the answer is kept with the KV cache.
        """

    @property
    def reads(self) -> Literal["hidden", "base_final_hidden", "embedding", "nothing"]:
        """What it is given as ``x``.

        ``hidden``: what enters the block or the linear. ``embedding``: what enters the first block.
        ``base_final_hidden``: what the base alone makes of the tokens, after its last norm; the
        base then runs before each forward and keeps a KV cache of its own beside the caller's.
        """

    @property
    def causal(self) -> bool:
        """Whether a token's weights depend on earlier tokens only."""

    def __call__(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the final weights α ≥ 0.

        Args:
            x: What ``reads`` names, shape ``(batch, time, width)``.
            where: The place that asks.
            info: The tokens being processed.

        Returns:
            Weights, float32, shape ``(batch, time, n_experts)``.
        """


@runtime_checkable
class TwoLevelGate(Gate, Protocol):
    """A gate that first retrieves candidates for a whole sequence, then weighs these by token.

    It retrieves in the first forward of a sequence; what it found is kept with the KV cache and is
    ``info.candidates`` of every later call. Its second level reads ``hidden`` or ``embedding``.
    """

    @property
    def retrieves_from(self) -> Literal["base_final_hidden", "embedding"]:
        """What it retrieves by, in the words of ``reads``."""

    def retrieve(self, x: Tensor, info: TokenInfo) -> Tensor:
        """Return the candidates of each row, by their index, without gradient.

        Args:
            x: What ``retrieves_from`` names, shape ``(batch, time, width)``.
            info: The tokens of the first forward.

        Returns:
            int64, shape ``(batch, m)``, no expert of a row twice.
        """


class ComposeContext(NamedTuple):
    """What a composer works with.

    Attributes:
        base: The frozen base.
        experts: The experts by name, in gate order; never empty.
        data: Union of all domains' examples, each with its domain; may be empty.
        trainer: The run's trainer, for composers that train adapters of their own.
        fit: Language-model fitting with resume, progress and the NaN stop.
        seed: Seed of this cell.
        work: Folder for resumable state and for adapters the composition will own.
        refer: Returns how a composition names an expert.
        teacher: The base with demonstrations in context, for the trainer.
    """

    base: LoadedBase
    experts: Mapping[str, Expert]
    data: Sequence[Example]
    trainer: Trainer | None
    fit: Fitting
    seed: int
    work: Path
    refer: Callable[[Expert], ExpertRef]
    teacher: Teacher | None = None


Need = Literal["data", "labels_at_inference", "prompt_mask"]
"""What a composer cannot do without: examples, domain labels of texts, which tokens are prompts."""


class Composer(Component):
    """A way to make one model out of several experts.

    Attributes:
        kind: ``router`` or ``merge``; only names the table column and the option.
        needs: What it cannot do without; may depend on the options.
        bounded: Whether the weights that a token gives to the experts sum to 1 at the most.
        label: The system's name in a run that does not list its compositions.
        control: Whether it decides without looking, for others to be measured against.
    """

    kind: ClassVar[Literal["router", "merge"]]
    needs: frozenset[Need] = frozenset()
    bounded: ClassVar[bool] = True
    label: ClassVar[str] = ""
    control: ClassVar[bool] = False

    def check(self, n_experts: int) -> str | None:
        """Return why these options cannot work with so many experts, before any work is done."""
        return None

    @abstractmethod
    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the composition; ``ctx.base`` and the experts stay bit for bit what they were."""

    def composition(
        self,
        ctx: ComposeContext,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        owned: Mapping[str, Path] | None = None,
        report: Mapping[str, float] | None = None,
    ) -> Composition:
        """Return the experts of ``ctx`` composed by this composer, with its options.

        Args:
            ctx: The experts.
            tensors: Gate parameters or weight deltas, of the shapes that ``gate`` and ``deltas``
                read.
            owned: Adapters that the composer trained itself, by name.
            report: Losses, discarded energy, parameter counts.

        Raises:
            CompositionError: If these options cannot work with so many experts.
        """
        if problem := self.check(len(ctx.experts)):
            raise CompositionError(problem)
        return Composition(
            composer=self.name,
            options=self.options.model_dump(mode="json"),
            experts=tuple(map(ctx.refer, ctx.experts.values())),
            tensors=tensors or {},
            owned=owned or {},
            report=report or {},
        )

    def gate(self, composition: Composition) -> Gate | None:
        """Return the gate that routes tokens, or ``None`` if the composition is static."""
        return None

    def deltas(self, composition: Composition) -> Mapping[str, Tensor]:
        """Return ``site -> weight delta``, shape ``(out, in)``, of a static composition.

        By default what ``selfmoe.kits.merges.merge_deltas`` stored in its tensors. A composition
        without deltas is the sum of the adapters it owns.
        """
        from selfmoe.contracts.deltas import read_deltas

        return read_deltas(composition)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        Raises:
            NotSupportedError: If this composer must start over instead.
        """
        raise NotSupportedError(
            f"{self.kind} '{self.name}' cannot add experts to a composition; compose anew"
        )


class Router(Composer):
    """A composer that chooses experts while the model runs.

    Attributes:
        takes_k: Whether a token takes as many experts as the option ``k`` says, so that there must
            be as many.
    """

    kind = "router"
    takes_k: ClassVar[bool] = False

    def check(self, n_experts: int) -> str | None:
        """Return that a token cannot take k of so many experts, if it shall and cannot."""
        return check_k(self.options.k, n_experts) if self.takes_k else None


def check_k(k: int, n_experts: int) -> str | None:
    """Return that a token cannot take k of so many experts, if it cannot."""
    if k <= n_experts:
        return None
    return f"k = {k} of only {counted(n_experts, 'expert')}; choose k from 1 to {n_experts}"


class Merge(Composer):
    """A composer that fuses experts once, before the model runs."""

    kind = "merge"
