"""The base model that selfmoe ships: a few million parameters, to see Self-MoE work anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from selfmoe.contracts import Base, hookimpl
from selfmoe_base_seedling.regimes import CUES, arriving, conflicting, low_rank, many, two_domains

SELFMOE_API = 1


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **{trainer: {"lr": 2e-3, "epochs": 4} for trainer in ("lora", "distill", "sdft")},
    "topk": {"lr": 1e-2, "epochs": 1, "batch_size": 16},
    "topp": {"lr": 1e-2, "epochs": 1, "batch_size": 16},
    "ridge": {"tokens": "all", "temperature": 0.03},
    "phatgoose": {"max_steps": 20, "batch_size": 16},
    "joint": {"router_lr": 1e-2},
}

TUNED: Mapping[str, Mapping[str, Any]] = {**OPTIONS, "topk": {**OPTIONS["topk"], "epochs": 3}}
"""For presets that may take longer; chosen on dev, see ``benchmarks/tuning-topk.yaml``."""

EXACT: Mapping[str, Any] = {"dtype": "float32"}
"""Published numbers do not depend on what the processor multiplies in."""

FULL: Mapping[str, Any] = {
    **EXACT,
    "seed": [0, 1, 2, 3, 4],
    "brainstorm": {"n": 280, "batch_size": 96, "max_new_tokens": 96},
    "respond": {"batch_size": 64, "max_new_tokens": 96, "samples": 4},
    "curate": {"agreement": 0.6},
    "evaluate": {"limit": 250, "batch_size": 60},
    "compose": {
        "mixse": {"router": "topk"},
        "mixse-k": {"router": "topk", "options": {"train_k": "k", "weight": "one"}},
        "random": {"router": "random"},
        "instance": {"merge": "instance"},
        "mean": {"merge": "mean"},
        "ties": {"merge": "ties"},
        "dare": {"merge": "dare"},
    },
}
"""The published comparison: five root seeds, answers that agree, and the controls."""

CLAIMS: Mapping[str, Any] = {
    **EXACT,
    "brainstorm": {"n": 160, "batch_size": 96, "max_new_tokens": 96},
    "respond": {"batch_size": 64, "max_new_tokens": 96},
    "evaluate": {"limit": 100, "batch_size": 50},
}
"""Budgets at which all claims can be tested over five root seeds in about an hour."""


class Seedling(Base):
    """A small Llama-style language model, trained on procedural text; needs no download."""

    name = "seedling"
    default = True
    preset = "demo"
    settings: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "demo": {"run": EXACT, "options": OPTIONS},
        "paper": {"run": EXACT},
        "claims": {"run": CLAIMS, "options": OPTIONS},
        "seedling-full": {"run": FULL, "options": TUNED},
        "arriving": {"run": arriving(FULL), "options": TUNED},
        **{f"conflicting-{cue}": {"run": conflicting(FULL, cue), "options": TUNED} for cue in CUES},
        "many": {"run": many(FULL), "options": TUNED},
        "two-domains": {"run": two_domains(FULL), "options": TUNED},
        "low-rank-1": {"run": low_rank(FULL, 1), "options": TUNED},
        "low-rank-2": {"run": low_rank(FULL, 2), "options": TUNED},
    }

    def path(self) -> Path:
        """Return the folder with its weights, inside this package."""
        return Path(__file__).parent / "weights"


@hookimpl
def register_bases() -> Iterable[type[Base]]:
    """Return the embedded base."""
    return [Seedling]
