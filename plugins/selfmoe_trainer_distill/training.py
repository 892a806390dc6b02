"""Forward KL to the teacher on the tokens it wrote: ``(1 - mix) KL(teacher || expert) + mix CE``.

The teacher reads all answers once, before the adapter is there. Where it ended an answer the expert
is to write end-of-text, whatever the teacher wrote to end with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from selfmoe.contracts import Batch, TrainContext
from selfmoe.kits.trainers import (
    Demonstrating,
    Divergence,
    KeptStates,
    Objective,
    Responses,
    answers_of,
    ends_among,
    train_lora,
)

if TYPE_CHECKING:
    from selfmoe_trainer_distill import Distill


def train(options: Distill.Config, ctx: TrainContext) -> Mapping[str, Any]:
    """Return the report of training an adapter and leaving it in ``ctx.out``.

    Raises:
        StageError: If a loss is not finite, or the examples have no teacher that is needed.
    """
    if options.mix == 1:
        return train_lora(options, ctx)
    teacher = Demonstrating.of(ctx)
    assert ctx.teacher is not None
    answers = answers_of(ctx)
    kept = KeptStates(ctx.work / "teacher")
    kept.keep(teacher, answers, ctx.fit.progress)
    ends = ends_among(ctx.base, ctx.teacher.stop, answers)
    apart = Divergence(teacher.head, ends, mix=options.mix, known_ends=True)

    def objective(model: Any) -> Objective:
        return Objective(_Distilled(Responses(model, ctx.base.blocks), kept, apart))

    return train_lora(options, ctx, objective)


class _Distilled:
    """The loss of a batch.

    Args:
        student: Reads batches with the adapter.
        kept: The teacher's states of all examples.
        divergence: Compares the two.

    Attributes:
        apart: Whether beginnings are read apart.
    """

    def __init__(self, student: Responses, kept: KeptStates, divergence: Divergence) -> None:
        self._student, self._kept, self._divergence = student, kept, divergence
        self.apart = student.apart

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the response tokens of a batch, a scalar."""
        states, targets = self._student.read(batch)
        return self._divergence(states, self._kept.of(batch.rows, states.device), targets)
