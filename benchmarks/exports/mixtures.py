"""The mixtures that are exported: toys of several families, and a base in a folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

import selfmoe
from selfmoe.models.structure import linears, text_config
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter, tiny_tokenizer

ROUTERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "topk": ("topk", {"init_std": 0.3}),
    "topk per linear": ("topk", {"init_std": 0.3, "inputs": "per_linear", "k": 2}),
    "topp": ("topp", {"init_std": 0.3, "p": 0.6, "weight": "one"}),
    "arrow": ("arrow", {"k": 2}),
    "uniform": ("uniform", {}),
    "random": ("random", {"k": 2}),
}
"""Routers that need no data, by what they are called in results."""

EXPERTS = ("one", "two", "three")


class Made(NamedTuple):
    """A mixture.

    Attributes:
        base: What its base is called.
        router: What its router is called.
        model: The base with the mixture.
        tokenizer: The base's.
        origin: Folder of the base.
    """

    base: str
    router: str
    model: Any
    tokenizer: Any
    origin: Path


def toys(families: list[str], routers: list[str], room: Path) -> Iterator[Made]:
    """Yield a mixture of random experts for each toy and router."""
    for family in families:
        base, tokenizer = tiny_model(family), tiny_tokenizer()
        origin = room / family / "base"
        base.save_pretrained(origin)
        yield from _on(family, base, tokenizer, FAMILIES[family].targets, routers, origin, std=0.15)


def on_folder(name: str, folder: Path, routers: list[str]) -> Iterator[Made]:
    """Yield a mixture of random experts on the base in a folder, for each router."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    base.requires_grad_(False)
    targets = sorted({site.rpartition(".")[2] for site in linears(base)} - {"lm_head"})
    yield from _on(name, base, tokenizer, targets, routers, folder, std=0.02)


def _on(
    name: str,
    base: Any,
    tokenizer: Any,
    targets: Any,
    routers: list[str],
    origin: Path,
    *,
    std: float,
) -> Iterator[Made]:
    import tempfile

    with tempfile.TemporaryDirectory() as room:
        experts = {
            expert: random_adapter(
                base, Path(room) / expert, r=2 + i, seed=i, targets=targets, std=std
            )
            for i, expert in enumerate(EXPERTS)
        }
        for router in routers:
            kind, options = ROUTERS[router]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*was given no data", UserWarning)
                model = selfmoe.compose(base, experts, router=kind, options=options)
            yield Made(name, router, model, tokenizer, origin)


def prompts(model: Any, n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random prompts, shape ``(n, 40)``, and how many tokens of each are one."""
    generator = torch.Generator().manual_seed(seed)
    top = min(256, int(text_config(model).vocab_size))
    ids = torch.randint(0, top, (n, 40), generator=generator)
    return ids, torch.randint(4, 41, (n,), generator=generator)
