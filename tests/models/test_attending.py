"""Faster attention: the same numbers but for rounding, and a model left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from selfmoe.models import attending, attention
from selfmoe.models.attending import Attending
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import tiny_llama

IDS = torch.arange(3, 303)[None] % 200


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "wide_beyond_mkl", lambda: True)
    monkeypatch.setattr(attending, "bfloat16_instructions", lambda: "avx512_bf16")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits.float()
    return found


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_logits_are_the_same_and_the_model_is_left_as_it_was(
    dtype: torch.dtype, off: float
) -> None:
    model = tiny_llama(dtype=dtype).eval()
    want = logits(model)
    with Attending(model):
        assert model.config._attn_implementation == attention.NAME
        found = logits(model)
    assert (found - want).abs().max() <= off * want.abs().max()
    assert model.config._attn_implementation == "sdpa"


def test_nothing_changes_where_nothing_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "wide_beyond_mkl", lambda: False)
    model = tiny_llama()
    with Attending(model), Attending("no module"):
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "qwen3"])
def test_other_families_compute_the_same(kind: str) -> None:
    model = tiny_model(kind).eval()
    ids, config = IDS[:, :40], model.config._attn_implementation
    with torch.no_grad():
        want = model(input_ids=ids).logits
        with Attending(model):
            found = model(input_ids=ids).logits
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    assert model.config._attn_implementation == config
