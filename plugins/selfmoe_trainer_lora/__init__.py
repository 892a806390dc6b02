"""Experts as LoRA adapters (Hu et al. 2021), trained through PEFT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from selfmoe.contracts import FitConfig, LoadedBase, TrainContext, Trainer, hookimpl

SELFMOE_API = 1


class Lora(Trainer):
    """Low-rank adapters on the linear layers, by PEFT."""

    name = "lora"
    reference_url = "https://arxiv.org/abs/2106.09685"
    default = True

    class Config(FitConfig):
        """Options of the LoRA trainer; the defaults are the paper's."""

        r: int = Field(8, ge=1, le=1024, description="Rank.")
        alpha: int = Field(16, ge=1, description="The update is scaled by alpha / r.")
        dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
        rslora: bool = Field(False, description="Scale by alpha / sqrt(r) instead.")
        target_modules: Literal["all-linear"] | list[str] = Field(
            "all-linear",
            description="Linears to adapt, by the ends of their names; never the output head. "
            "all-linear: every one in the decoder blocks that a router can weigh.",
        )

    def linears(self, base: LoadedBase) -> Collection[str]:
        """Return the linears that adapters will be trained on; see ``Trainer.linears``."""
        from selfmoe_trainer_lora.targets import chosen

        return chosen(self.options, base)

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write the adapter to ``ctx.out``; see ``Trainer.train``."""
        from selfmoe_trainer_lora.training import train

        return train(self.options, ctx)


@hookimpl
def register_trainers() -> Iterable[type[Trainer]]:
    """Return the LoRA trainer."""
    return [Lora]
