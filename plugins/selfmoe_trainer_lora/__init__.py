"""Experts as LoRA adapters (Hu et al. 2021), trained through PEFT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

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


@hookimpl
def register_trainers() -> Iterable[type[Trainer]]:
    """Return the LoRA trainer."""
    return [Lora]
