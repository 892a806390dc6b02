"""Options of trainers that make LoRA adapters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selfmoe.contracts.fitting import FitConfig


class LoraOptions(FitConfig):
    """Options of everything that trains a LoRA adapter; the defaults are the paper's."""

    r: int = Field(8, ge=1, le=1024, description="Rank.")
    alpha: int = Field(16, ge=1, description="The update is scaled by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    rslora: bool = Field(False, description="Scale by alpha / sqrt(r) instead.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        "all-linear",
        description="Linears to adapt, by the ends of their names; never the output head. "
        "all-linear: every one in the decoder blocks that a router can weigh.",
    )
