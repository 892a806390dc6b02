"""Experts as LoRA adapters (Hu et al. 2021), trained through PEFT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from selfmoe.contracts import LoadedBase, TrainContext, Trainer, hookimpl
from selfmoe.kits.trainers import LoraOptions

SELFMOE_API = 1


class Lora(Trainer):
    """Low-rank adapters on the linear layers, by PEFT."""

    name = "lora"
    continues = True
    reference_url = "https://arxiv.org/abs/2106.09685"
    default = True

    class Config(LoraOptions):
        """Options of the LoRA trainer; the defaults are the paper's."""

    def linears(self, base: LoadedBase) -> Collection[str]:
        """Return the linears that adapters will be trained on; see ``Trainer.linears``."""
        from selfmoe.kits.trainers import chosen

        return chosen(self.options, base)

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write the adapter to ``ctx.out``; see ``Trainer.train``."""
        from selfmoe.kits.trainers import train_lora

        return train_lora(self.options, ctx)

    def alone(self, base: LoadedBase) -> str | None:
        """Return why an expert has to be trained by itself; see ``Trainer.alone``."""
        from selfmoe.kits.trainers import why_alone

        return why_alone(self.options, base)

    @classmethod
    def train_together(
        cls, experts: Mapping[str, tuple[Self, TrainContext]]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Train several adapters in one pass; see ``Trainer.train_together``."""
        from selfmoe.kits.trainers import train_loras

        return train_loras({name: (one.options, ctx) for name, (one, ctx) in experts.items()})


@hookimpl
def register_trainers() -> Iterable[type[Trainer]]:
    """Return the LoRA trainer."""
    return [Lora]
