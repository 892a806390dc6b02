"""A mixture in programs that put layers of their own in the place of the base's, as vLLM does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

import selfmoe

IDS = torch.tensor([[5, 6, 7, 8, 9]])


class Merged(nn.Module):
    """Several linear layers as one; no ``nn.Linear``."""

    def __init__(self, *layers: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]))
        self.sizes = [layer.out_features for layer in layers]

    def forward(self, x):
        return linear(x, self.weight)


class Piece(nn.Module):
    """One part of what a merged layer computes, under a name that was there."""

    def __init__(self, merged: Merged, number: int) -> None:
        super().__init__()
        self.number, self.whole = number, [merged]

    def forward(self, x):
        return self.whole[0](x).split(self.whole[0].sizes, -1)[self.number]


def merge(parent: nn.Module, name: str, parts: tuple[str, ...]) -> None:
    """Let one layer stand for several; the model's own code still calls them, by attributes."""
    merged = Merged(*(getattr(parent, part) for part in parts))
    setattr(parent, name, merged)
    for number, part in enumerate(parts):
        delattr(parent, part)
        object.__setattr__(parent, part, Piece(merged, number))


@pytest.fixture(params=[{}, {"inputs": "per_linear", "k": 2}], ids=["block", "per linear"])
def exported(request, tiny_base, tmp_path):
    """Return an exported mixture of two random experts, without a head."""
    from transformers import AutoModel

    from selfmoe.contracts.records import System
    from selfmoe.outward.export.formats import WRITERS, Wishes
    from selfmoe.outward.export.source import Source
    from selfmoe.testing.models import random_adapter

    model = tiny_base.model
    experts = {n: random_adapter(model, tmp_path / n, r=2 + i, seed=i) for i, n in enumerate("ab")}
    with pytest.warns(UserWarning, match="was given no data"):
        model = selfmoe.compose(
            model, experts, router="topk", options={"init_std": 0.5, **request.param}
        )
    (tmp_path / "out").mkdir()
    source = Source(replace(tiny_base, model=model), System("mixse", "router"), None, "tiny")
    WRITERS["hf"](source, tmp_path / "out", Wishes())
    return AutoModel.from_pretrained(tmp_path / "out", trust_remote_code=True).eval()


@torch.no_grad()
def test_experts_add_to_layers_that_stand_for_several(exported):
    import copy

    expected = copy.deepcopy(exported)(IDS).last_hidden_state
    for block in exported.layers:
        merge(block.self_attn, "qkv_proj", ("q_proj", "k_proj", "v_proj"))
        merge(block.mlp, "gate_up_proj", ("gate_proj", "up_proj"))
    torch.testing.assert_close(exported(IDS).last_hidden_state, expected, rtol=1e-4, atol=1e-5)
    for block in exported.layers:
        assert block.self_attn.qkv_proj._forward_hooks


@torch.no_grad()
def test_a_layer_that_is_nowhere_is_named(exported):
    del exported.layers[0].mlp.down_proj
    with pytest.raises(ValueError, match=r"layers.0.mlp.down_proj is not there"):
        exported(IDS)
