"""Experts that learn on their own answers what the base with demonstrations makes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from selfmoe.contracts import LoadedBase, TrainContext, Trainer, hookimpl
from selfmoe.kits.trainers import LoraOptions

SELFMOE_API = 1


class Sdft(Trainer):
    """LoRA adapters by on-policy self-distillation from the base with demonstrations.

    After Shenfeld et al. 2026: the expert answers the tasks of the data as it is, and learns the
    KL of each token's distribution to that of the teacher behind the same words. Unlike there, the
    teacher is the frozen base, not an average of the student, and its demonstrations are the solved
    seeds with which ``respond`` asked it, not an answer to the task itself.
    """

    name = "sdft"
    continues = True
    reference_url = "https://arxiv.org/abs/2601.19897"

    class Config(LoraOptions):
        """Options of the self-distillation; those of the adapter are the LoRA trainer's."""

        max_new_tokens: int = Field(256, ge=1, description="Longest answer of its own, in tokens.")
        divergence: Literal["reverse", "forward"] = Field(
            "reverse",
            description="reverse: KL(expert || teacher), the paper's; forward: "
            "KL(teacher || expert).",
        )

    def linears(self, base: LoadedBase) -> Collection[str]:
        """Return the linears that adapters will be trained on; see ``Trainer.linears``."""
        from selfmoe.kits.trainers import chosen

        return chosen(self.options, base)

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write the adapter to ``ctx.out``; see ``Trainer.train``.

        Raises:
            StageError: If the examples were not written by a base, or nothing tells where its
                answers end.
        """
        from selfmoe_trainer_sdft.training import train

        return train(self.options, ctx)


@hookimpl
def register_trainers() -> Iterable[type[Trainer]]:
    """Return the trainer."""
    return [Sdft]
