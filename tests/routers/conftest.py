"""What tests of routers share: three experts, of one base or of several families.

Tests of adding experts compose two of three first; others have experts as unlike as can be.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.records import Example, Expert, LoadedBase
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples, tiny_tokenizer
from selfmoe.testing.routing import mixed_experts

QKV, MLP = ("q_proj", "v_proj"), ("up_proj", "down_proj")


@pytest.fixture
def three(tmp_path):
    """Return a context of three experts; the last one changes layers that no other does."""
    base = tiny_base()
    experts = {
        name: Expert(name, random_adapter(base.model, tmp_path / name, r=2 + i, seed=i, targets=t))
        for i, (name, t) in enumerate((("math", QKV), ("coding", QKV), ("facts", QKV + MLP)))
    }
    data = tiny_examples(6, tuple(experts))
    return ComposeContext(base, experts, data, None, Fit(), 0, tmp_path / "work", reference)


@pytest.fixture
def two(three):
    """Return the context of the first two."""
    experts = dict(list(three.experts.items())[:2])
    data = [example for example in three.data if example.domain in experts]
    return three._replace(experts=experts, data=data, work=three.work.parent / "before")


@pytest.fixture
def changes() -> dict[str, Any]:
    """Return what a file's contexts have besides; it overrides this."""
    return {}


@pytest.fixture(params=["llama", "gpt2", "gpt_neox"])
def context(request, tmp_path, changes) -> ComposeContext:
    """Return unlike experts on a base of each family."""
    return _unlike(request.param, tmp_path)._replace(**changes)


@pytest.fixture
def llama(tmp_path, changes) -> ComposeContext:
    """Return unlike experts on a Llama."""
    return _unlike("llama", tmp_path)._replace(**changes)


@pytest.fixture
def unlike_prompts() -> list[Example]:
    """Return three examples of each of the mixed experts, with long prompts unlike one another."""
    names = ("0", "mlp", "math-v2")
    letters = torch.randint(97, 123, (9, 120), generator=torch.Generator().manual_seed(0))
    return [
        replace(example, instruction="".join(map(chr, row[: 40 + 10 * i])))
        for i, (example, row) in enumerate(zip(tiny_examples(9, names), letters, strict=True))
    ]


def _unlike(family: str, folder: Path) -> ComposeContext:
    """Return three experts as unlike as can be, on a base of a family, and their data."""
    model = tiny_model(family)
    base = LoadedBase("tiny", model, tiny_tokenizer(), hash="tiny", context=512)
    experts = mixed_experts(model, folder, FAMILIES[family].targets)
    data = tiny_examples(9, tuple(experts))
    return ComposeContext(base, experts, data, None, Fit(), 0, folder / "work", reference)
