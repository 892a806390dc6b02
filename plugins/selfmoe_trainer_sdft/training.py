"""On-policy self-distillation (arXiv 2601.19897).

In every step the expert draws an answer y to each task x at temperature 1. What it learns is

    sum over t of KL(expert(. | x, y<t) || base(. | demonstrations, x, y<t))

with the full vocabulary at every place where it wrote a token, y held constant: the paper's
gradient, which leaves out how later places change with earlier words. It is divided by the number
of these places in the step. Whether y ended by itself makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selfmoe.contracts import IGNORE, Batch, Example, StageError, TrainContext, derive
from selfmoe.kits.trainers import (
    Demonstrating,
    Divergence,
    Ends,
    Objective,
    Responses,
    answers_of,
    ends_among,
    train_lora,
    without_training,
    written,
)

if TYPE_CHECKING:
    from selfmoe_trainer_sdft import Sdft

_RARE = 0.05
"""Share of the teacher's answers within which a token may stand that ends the others."""


def train(options: Sdft.Config, ctx: TrainContext) -> Mapping[str, Any]:
    """Return the report of training an adapter and leaving it in ``ctx.out``.

    Raises:
        StageError: If a loss is not finite, the examples have no teacher, or nothing tells where
            its answers end.
    """
    teacher = Demonstrating.of(ctx)
    _check_room(options, ctx, teacher)
    ends = _ends(ctx)

    def objective(model: Any) -> Objective:
        loss = _OnPolicy(options, ctx, teacher, ends, model)
        return Objective(loss, loss.answers)

    return train_lora(options, ctx, objective)


class _OnPolicy:
    """The loss of a batch of answers that the student has written.

    Args:
        options: The trainer's.
        ctx: Base, data and seed.
        teacher: Reads the same answers behind its own prompts.
        ends: What counts as end-of-text for it.
        model: PEFT's model with the adapter that learns.

    Attributes:
        apart: Whether beginnings are read apart.
    """

    def __init__(
        self,
        options: Sdft.Config,
        ctx: TrainContext,
        teacher: Demonstrating,
        ends: Ends,
        model: Any,
    ) -> None:
        self._options, self._ctx, self._teacher, self._model = options, ctx, teacher, model
        self._student = Responses(model, ctx.base.blocks)
        self._divergence = Divergence(teacher.head, ends, options.divergence)
        self.apart = self._student.apart

    def answers(self, step: int, places: Sequence[int]) -> list[Example]:
        """Return the examples of a step with what the student answers now."""
        ctx = self._ctx
        asked = [ctx.data[place] for place in places]
        assert ctx.teacher is not None
        with without_training(self._model, adapter=True):
            return written(
                ctx.base.model,
                ctx.base.tokenizer,
                asked,
                seeds=[derive(ctx.seed, "answer", step, one.domain, one.id) for one in asked],
                max_new_tokens=self._options.max_new_tokens,
                stop=ctx.teacher.stop,
                template=ctx.base.template,
            )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the places of a batch where a token was written, a scalar."""
        wanted = self._taught(batch)
        states, targets = self._student.read(batch)
        return self._divergence(states, wanted, targets)

    def _taught(self, batch: Batch) -> Tensor:
        """Return the teacher's states at these places, shape ``(tokens, width)``."""
        answers = [row[row != IGNORE].tolist() for row in batch.labels]
        with without_training(self._model, adapter=False):
            found: dict[int, Tensor] = {}
            for part in self._teacher.parts(batch.rows, answers):
                found |= self._teacher.read(part)
        return torch.cat([found[row] for row in batch.rows])


def _check_room(options: Sdft.Config, ctx: TrainContext, teacher: Demonstrating) -> None:
    room = ctx.base.context - teacher.longest
    if options.max_new_tokens > room:
        raise StageError(
            f"behind the longest prompt with demonstrations there is room for {room} tokens in the "
            f"base's context of {ctx.base.context}, but max_new_tokens is "
            f"{options.max_new_tokens}\n"
            "  Lower specialise.options.max_new_tokens, or respond.shots."
        )


def _ends(ctx: TrainContext) -> Ends:
    assert ctx.teacher is not None
    ends = ends_among(ctx.base, ctx.teacher.stop, answers_of(ctx), rare=_RARE)
    if not ends.told:
        raise StageError(
            f"the tokens by which base '{ctx.base.name}' ends its answers stand within them, too, "
            "so it cannot tell an expert where its answers should end\n"
            "  Train with specialise.trainer=distill, which knows where those of the data end."
        )
    return ends
