"""Uniform routing: all experts alike, which is what the merge of their mean does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from selfmoe.mixture.runtime import attach
from selfmoe.testing.compare import assert_close, assert_same, logits, tokens
from selfmoe.testing.composers import ComposerContract
from selfmoe_merge_mean import Mean
from selfmoe_router_uniform import Uniform


class TestContract(ComposerContract):
    @pytest.fixture(params=[None, 0.3])
    def composer(self, request):
        return Uniform(Uniform.Config(weight=request.param))


def attached(router, made, ctx):
    return attach(ctx.base.model, router, made, ctx.experts)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_equals_the_mean_of_the_deltas(three, scale):
    router, merge = Uniform(Uniform.Config(weight=scale / 3)), Mean(Mean.Config(scale=scale))
    router = Uniform() if scale == 1.0 else router
    with attached(router, router.compose(three), three):
        routed = logits(three.base.model, tokens())
    with attached(merge, merge.compose(three), three):
        merged = logits(three.base.model, tokens())
    assert_close(routed, merged)


def test_every_expert_has_the_same_share(three):
    with attached(Uniform(), Uniform().compose(three), three) as mixture, mixture.record() as told:
        logits(three.base.model, tokens())
    assert torch.allclose(told.mean(), torch.full((3, 3), 1 / 3, dtype=torch.float64))


def test_the_weight_is_that_of_each_expert(three):
    router = Uniform(Uniform.Config(weight=0.25))
    with attached(router, router.compose(three), three) as mixture, mixture.record() as told:
        logits(three.base.model, tokens())
    assert torch.allclose(told.mean(), torch.full((3, 3), 0.25, dtype=torch.float64))


def test_extended_is_composed_anew(two, three):
    before = Uniform().compose(two)
    after = Uniform().extend(before, three)
    assert_same(after, Uniform().compose(three))
    assert not after.tensors
    assert isinstance(Uniform().gate(after), nn.Module)
    assert Uniform().gate(after).weight == pytest.approx(1 / 3)
