"""Experts that learn the distributions of the base with demonstrations in context."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import Field

from selfmoe.contracts import LoadedBase, TrainContext, Trainer, hookimpl
from selfmoe.kits.trainers import LoraOptions

SELFMOE_API = 1


class Distill(Trainer):
    """LoRA adapters that learn what the base with demonstrations gives to every token.

    Context distillation (Snell et al. 2022): forward KL from the prompt that ``respond`` asked with
    to the prompt of experts, over the full vocabulary, on the tokens of the data.
    """

    name = "distill"
    continues = True
    reference_url = "https://arxiv.org/abs/2209.15189"

    class Config(LoraOptions):
        """Options of the distillation; those of the adapter are the LoRA trainer's."""

        mix: float = Field(
            0.0, ge=0, le=1, description="Share of the loss on the tokens themselves; 1 is lora."
        )

    def linears(self, base: LoadedBase) -> Collection[str]:
        """Return the linears that adapters will be trained on; see ``Trainer.linears``."""
        from selfmoe.kits.trainers import chosen

        return chosen(self.options, base)

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write the adapter to ``ctx.out``; see ``Trainer.train``.

        Raises:
            StageError: If the examples were not written by a base, unless ``mix`` is 1.
        """
        from selfmoe_trainer_distill.training import train

        return train(self.options, ctx)


@hookimpl
def register_trainers() -> Iterable[type[Trainer]]:
    """Return the trainer."""
    return [Distill]
