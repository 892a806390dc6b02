"""What a comparison says a system costs."""

from __future__ import annotations

import pytest
import torch

from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.pipeline.cost import added_parameters, count_flops
from selfmoe.testing.models import tiny_llama
from selfmoe.testing.routing import mixed_experts, random_theta, refer
from selfmoe_router_topk import TopK

TIME = 16


@pytest.fixture
def model():
    return tiny_llama()


@pytest.fixture
def experts(tmp_path, model):
    return mixed_experts(model, tmp_path)


@pytest.fixture
def ids():
    return torch.arange(TIME)[None]


def base_flops(model) -> int:
    """Return two operations a weight and token, and those of attention: QK^T and its use of V."""
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    config = model.config
    width = config.num_attention_heads * (config.hidden_size // config.num_attention_heads)
    return 2 * TIME * weights + config.num_hidden_layers * 2 * 2 * TIME * TIME * width


def test_the_base_costs_what_its_shapes_say(model, ids):
    assert count_flops(model, ids, None) == base_flops(model)
    assert added_parameters(None) == 0


def test_a_mixture_adds_its_adapters_and_its_gate(model, experts, ids):
    theta = random_theta(len(experts))
    router = TopK(TopK.Config(k=1))
    factors = [f for expert in experts.values() for f in factors_of(expert).values()]
    held = sum(f.a.numel() + f.b.numel() for f in factors)
    with attach(model, router, refer_to(experts, theta), experts) as mixture:
        assert added_parameters(mixture) == held + theta.numel()
        more = count_flops(model, ids, mixture) - base_flops(model)
    gates = model.config.num_hidden_layers * theta.numel()
    assert more >= 2 * TIME * gates
    assert more <= 2 * TIME * (held + gates)


def refer_to(experts, theta):
    from dataclasses import replace

    from selfmoe.mixture.storage import references

    composition = refer(experts, tensors={"theta": theta}, options={"k": 1})
    return replace(composition, experts=references(experts))
