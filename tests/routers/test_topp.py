"""The router that takes experts until their probabilities reach p."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.mixture.runtime import attach
from selfmoe.testing.composers import ComposerContract
from selfmoe_router_topk import TopK
from selfmoe_router_topp import TopP
from selfmoe_router_topp.gate import TopPGate

INPUTS = ["block_input", "embedding", "per_width", "per_linear"]
QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}


class TestContract(ComposerContract):
    @pytest.fixture(params=INPUTS)
    def composer(self, request):
        return TopP(TopP.Config(inputs=request.param, **QUICK))


def routed(n=5, **options):
    """Return a gate's weights for random tokens, and the probabilities they are made of."""
    theta = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(1)) * 30
    gate = TopPGate(TopP.Config(**options), {"theta": theta})
    unit = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    probabilities = torch.softmax(unit @ theta.T / gate.temperature, dim=-1)
    return gate(x, Site(0), TokenInfo()).flatten(0, 1), probabilities.flatten(0, 1)


def naive(probabilities, p, most):
    """Return the weights of one token: experts in order of probability, until p is reached."""
    alpha, total = [0.0] * len(probabilities), 0.0
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    for place, i in enumerate(order):
        if place < most and (total < p or place == 0):
            alpha[i] = probabilities[i]
        total += probabilities[i]
    return alpha


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_is_the_smallest_set_that_reaches_p(p, most):
    alpha, probabilities = routed(p=p, max_k=most, temperature=2.0)
    for found, row in zip(alpha, probabilities.tolist(), strict=True):
        expected = torch.tensor(naive(row, p, most or 5))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    counts = (alpha > 0).sum(-1)
    assert counts.min() >= 1
    if 0.3 <= p <= 0.9 and most is None:
        assert counts.min() < counts.max()


def test_p_of_1_is_all_experts():
    alpha, probabilities = routed(p=1.0, temperature=0.05)
    torch.testing.assert_close(alpha, probabilities)


def test_a_tiny_p_is_the_most_probable_expert():
    alpha, probabilities = routed(p=1e-9)
    assert torch.equal(alpha > 0, probabilities == probabilities.max(-1, keepdim=True).values)


@pytest.mark.parametrize("weight", ["softmax", "one"])
def test_weights_are_probabilities_or_sum_to_1(weight):
    alpha, probabilities = routed(p=0.6, weight=weight)
    sums = alpha.sum(-1)
    if weight == "one":
        torch.testing.assert_close(sums, torch.ones_like(sums))
    else:
        torch.testing.assert_close(alpha, torch.where(alpha > 0, probabilities, 0.0))
        assert (sums >= 0.6 - 1e-6).all()
        assert (sums < 1).any()


def test_equal_probabilities_are_told_apart_the_same_way_every_time():
    gate = TopPGate(TopP.Config(p=0.5), {"theta": torch.zeros(4, 8)})
    alpha = gate(torch.ones(1, 3, 8), Site(0), TokenInfo())
    assert torch.equal(alpha, torch.tensor([0.25, 0.25, 0.0, 0.0]).expand(1, 3, 4))


class TestCompose(ComposerContract):
    @pytest.fixture
    def composer(self):
        return TopP(TopP.Config(**QUICK))

    def test_learns_as_topk_does_when_all_experts_are_used(self, composer, context):
        made = composer.compose(context)
        other = TopK(TopK.Config(**QUICK)).compose(context._replace(work=context.work / "topk"))
        assert made.report["trained_parameters"] == other.report["trained_parameters"] == 64
        assert made.report["steps"] == other.report["steps"]
        assert made.report["last_loss"] == pytest.approx(other.report["last_loss"], rel=0.05)

    @pytest.mark.parametrize("train_p", ["all", "p"])
    def test_training_moves_theta_from_its_initialisation(self, context, train_p):
        router = TopP(TopP.Config(train_p=train_p, p=0.1, **QUICK))
        start = router.compose(context._replace(data=[])).tensors["theta"]
        assert not torch.equal(router.compose(context).tensors["theta"], start)

    def test_train_p_matters(self, context):
        thetas = [
            TopP(TopP.Config(train_p=train, p=0.1, **QUICK))
            .compose(context._replace(work=context.work / train))
            .tensors["theta"]
            for train in ("all", "p")
        ]
        assert not torch.equal(*thetas)

    def test_used_with_p_after_training_with_all(self, composer, context):
        made = composer.compose(context)
        with attach(context.base.model, composer, made, context.experts) as mixture:
            assert not mixture.gate.keep_all


@pytest.mark.parametrize("inputs", INPUTS)
def test_old_rows_stay_and_new_ones_learn(two, three, inputs):
    router = TopP(TopP.Config(inputs=inputs, weight_decay=0.1, **QUICK))
    before, after = router.compose(two), None
    after = router.extend(before, three)
    start = router.extend(before, three._replace(data=[]))
    for name, theta in after.tensors.items():
        old = before.tensors.get(name, theta[:0])
        assert torch.equal(theta[: len(old)], old)
        assert (theta != start.tensors[name])[len(old) :].any(-1).all()
        assert len(theta) == 3
