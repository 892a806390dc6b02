"""What tests of adding experts share: three experts, of which two were composed first."""

from __future__ import annotations

import pytest

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.records import Expert
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples

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
