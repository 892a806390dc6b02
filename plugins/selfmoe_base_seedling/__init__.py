"""The base model that selfmoe ships: a few million parameters, to see Self-MoE work anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from selfmoe import hookimpl
from selfmoe.components import Base

SELFMOE_API = 1


class Seedling(Base):
    """A small Llama-style language model, trained on procedural text; needs no download."""

    name = "seedling"
    default = True
    preset = "demo"
    settings: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "demo": {
            "options": {
                "lora": {"lr": 2e-3, "epochs": 4},
                "topk": {"lr": 1e-2, "epochs": 1, "batch_size": 16},
            }
        }
    }

    def path(self) -> Path:
        """Return the folder with its weights, inside this package."""
        return Path(__file__).parent / "weights"


@hookimpl
def register_bases() -> Iterable[type[Base]]:
    """Return the embedded base."""
    return [Seedling]
