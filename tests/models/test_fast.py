"""Faster products and attention: the same numbers but for rounding, and a model left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from selfmoe.models import attention, fast, processor, products
from selfmoe.models.fast import Fast
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import tiny_llama

IDS = torch.arange(3, 303)[None] % 200
ZEN = "flags : fma avx512f\nvendor_id : AuthenticAMD\n"


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "left_to_onednn", lambda: True)
    monkeypatch.setattr(fast, "bfloat16_instructions", lambda: "avx512_bf16")


def classes(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits.float()
    return found


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_logits_are_the_same_and_the_model_is_left_as_it_was(
    dtype: torch.dtype, off: float
) -> None:
    model = tiny_llama(dtype=dtype).eval()
    before, want = classes(model), logits(model)
    with Fast(model):
        assert (products.ByOneDNN in classes(model)) is (dtype is torch.float32)
        assert model.config._attn_implementation == attention.NAME
        found = logits(model)
    assert (found - want).abs().max() <= off * want.abs().max()
    assert classes(model) == before
    assert model.config._attn_implementation == "sdpa"


def test_one_row_and_gradients_are_left_to_torch() -> None:
    layer, by_onednn = nn.Linear(8, 4), products.ByOneDNN(8, 4)
    by_onednn.load_state_dict(layer.state_dict())
    with torch.no_grad():
        assert by_onednn(torch.ones(1, 8)).equal(layer(torch.ones(1, 8)))
        torch.testing.assert_close(by_onednn(torch.ones(3, 8)), layer(torch.ones(3, 8)))
    by_onednn(torch.ones(3, 8)).sum().backward()
    assert by_onednn.weight.grad is not None


def test_nothing_changes_where_nothing_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "left_to_onednn", lambda: False)
    model = tiny_llama()
    with Fast(model), Fast("no module"):
        assert products.ByOneDNN not in classes(model)
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", ["gemma2", "gpt2", "qwen3"])
def test_other_families_compute_the_same(kind: str) -> None:
    model = tiny_model(kind).eval()
    ids, config = IDS[:, :40], model.config._attn_implementation
    with torch.no_grad():
        want = model(input_ids=ids).logits
        with Fast(model):
            found = model(input_ids=ids).logits
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    assert model.config._attn_implementation == config


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ZEN, True),
        (ZEN.replace("AuthenticAMD", "GenuineIntel"), False),
        (ZEN.replace("avx512f", "avx2"), False),
        ("Features : asimd bf16\n", False),
        (None, False),
    ],
)
def test_whose_products_are_left_to_onednn(
    text: str | None, found: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", file)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    ask: Callable[[], bool] = processor.left_to_onednn.__wrapped__
    assert ask() is found
