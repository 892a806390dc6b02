"""How an expert is made from its data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import Example, LoadedBase

if TYPE_CHECKING:
    from selfmoe.contracts.fitting import Fitting


class Teacher(Protocol):
    """The base as it was when it answered the tasks: with demonstrations in context.

    Attributes:
        stop: Strings that ended its answers.
    """

    @property
    def stop(self) -> Sequence[str]:
        """Return the strings that ended its answers."""

    def __call__(self, example: Example) -> str:
        """Return the prompt that it was asked with: solved seeds, passages, the task.

        Raises:
            StageError: If no base wrote the response, or what stood in the prompt is not known.
        """


class TrainContext(NamedTuple):
    """What a trainer works with.

    Attributes:
        base: The frozen base.
        data: The examples to train on; never empty.
        fit: Language-model fitting with resume, progress and the NaN stop.
        seed: Seed of this cell.
        work: Folder for resumable state; emptied when the expert is committed.
        out: Where to leave the finished PEFT adapter folder.
        teacher: The base with demonstrations in context, for trainers that learn from more than its
            words.
        start: Adapter folder to go on from; ``None`` for a new one. Given only to trainers that
            can (``continues``).
    """

    base: LoadedBase
    data: Sequence[Example]
    fit: Fitting
    seed: int
    work: Path
    out: Path
    teacher: Teacher | None = None
    start: Path | None = None


class Trainer(Component):
    """A way to make an expert out of examples.

    Attributes:
        continues: Whether it can go on with an adapter that there is already.
    """

    continues: ClassVar[bool] = False

    def linears(self, base: LoadedBase) -> Collection[str] | None:
        """Return the names of the linears that it will adapt, or ``None`` if it cannot tell yet.

        A run asks before anything is generated, says which share of the base that is, and refuses
        what its routers could not weigh. A trainer refuses here what it could not train.

        Raises:
            StageError: If its options do not fit the base, or it can adapt nothing there.
        """
        return None

    @abstractmethod
    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write a PEFT adapter folder to ``ctx.out`` and return the training report.

        The base must be bit for bit what it was. The report is JSON-ready and holds at least
        ``losses`` (one a step), ``tokens`` and ``trained_parameters``.
        """

    def alone(self, base: LoadedBase) -> str | None:
        """Return why an expert has to be trained by itself.

        ``None`` says that it can be trained in one pass with others, by ``train_together``, with
        the results that ``train`` has, up to rounding.

        Args:
            base: The frozen base.
        """
        return f"trainer '{self.name}' trains one expert at a time"

    @classmethod
    def train_together(
        cls, experts: Mapping[str, tuple[Self, TrainContext]]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Train several experts in one pass over one base; return what ``train`` does, by name.

        Each has its own options, data, seed and folder ``out``; base, ``fit`` and ``work`` are
        those of all. Who can do it overrides ``alone``, too.

        Args:
            experts: Trainer and context by the expert's name, at least two. ``start`` is ``None``.

        Returns:
            The reports of those that were trained; the others are trained by themselves then.

        Raises:
            StageError: If they cannot be trained in one pass on this base.
            NotSupportedError: If this trainer does not offer it.
        """
        raise NotSupportedError(f"trainer '{cls.name}' trains one expert at a time")
