"""The MiXSE router: what it learns and what it refuses."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from selfmoe.components import Site, TokenInfo
from selfmoe.errors import CompositionError, StageError
from selfmoe.mixture import attach
from selfmoe.testing.composers import ComposerContract
from selfmoe_router_topk import TopK
from selfmoe_router_topk.gate import TopKGate

INPUTS = ["block_input", "embedding", "per_width", "per_linear"]
QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}


class TestContract(ComposerContract):
    @pytest.fixture(params=INPUTS)
    def composer(self, request):
        return TopK(TopK.Config(inputs=request.param, **QUICK))


class TestGate:
    def gate(self, **options):
        theta = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
        return TopKGate(TopK.Config(**options), {"theta": theta}), theta

    def x(self):
        return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)) * 30

    def test_is_masked_softmax_of_the_normalised_input(self):
        gate, theta = self.gate(k=2, temperature=0.5)
        x = self.x()
        scaled = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        p = torch.softmax(scaled @ theta.T / 0.5, dim=-1)
        second = p.sort(dim=-1, descending=True).values[..., 1:2]
        expected = torch.where(p >= second, p, 0.0)
        torch.testing.assert_close(gate(x, Site(0), TokenInfo()), expected)

    def test_top1_is_not_renormalised(self):
        gate, _ = self.gate(k=1)
        alpha = gate(self.x(), Site(0), TokenInfo())
        assert ((alpha > 0).sum(-1) == 1).all()
        assert (alpha.sum(-1) < 1).all()

    def test_renormalise(self):
        gate, _ = self.gate(k=2, renormalise=True)
        torch.testing.assert_close(gate(self.x(), Site(0), TokenInfo()).sum(-1), torch.ones(2, 5))

    def test_works_in_float32_on_bfloat16_input(self):
        gate, _ = self.gate(k=4)
        x = self.x().bfloat16()
        assert torch.equal(gate(x, Site(0), TokenInfo()), gate(x.float(), Site(0), TokenInfo()))

    def test_renormalised_top1_is_refused(self):
        with pytest.raises(ValidationError, match="k of 2 or more"):
            TopK.Config(k=1, renormalise=True)


class TestCompose(ComposerContract):
    @pytest.fixture
    def composer(self):
        return TopK(TopK.Config(**QUICK))

    def test_training_lowers_the_loss(self, context):
        router = TopK(TopK.Config(epochs=15, lr=0.05, batch_size=6, schedule="constant"))
        report = router.compose(context).report
        assert report["last_loss"] < report["first_loss"]
        assert report["steps"] == 15
        assert report["trained_parameters"] == 2 * 32

    @pytest.mark.parametrize("train_k", ["all", "k"])
    def test_training_moves_theta_from_its_initialisation(self, context, train_k):
        router = TopK(TopK.Config(train_k=train_k, **QUICK))
        start = router.compose(context._replace(data=[])).tensors["theta"]
        assert 0.01 < start.std() < 0.03
        assert not torch.equal(router.compose(context).tensors["theta"], start)

    @pytest.mark.parametrize("inputs", INPUTS)
    def test_checkpointing_learns_the_same(self, context, inputs, monkeypatch):
        import torch.utils.checkpoint

        plain = TopK(TopK.Config(inputs=inputs, **QUICK)).compose(context)
        calls = []
        real = torch.utils.checkpoint.checkpoint
        monkeypatch.setattr(
            "transformers.modeling_utils.checkpoint",
            lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs),
        )
        saving = TopK(TopK.Config(inputs=inputs, gradient_checkpointing=True, **QUICK))
        made = saving.compose(context)
        assert calls, "nothing was checkpointed"
        for name, tensor in plain.tensors.items():
            torch.testing.assert_close(made.tensors[name], tensor)
        assert not any(module.training for module in context.base.model.modules())

    def test_train_k_matters(self, context):
        thetas = [
            TopK(TopK.Config(train_k=k, **QUICK)).compose(context).tensors["theta"]
            for k in ("all", "k")
        ]
        assert not torch.equal(*thetas)

    def test_seed_matters(self, composer, context):
        one, two = (composer.compose(context._replace(data=[], seed=s)) for s in (0, 1))
        assert not torch.equal(one.tensors["theta"], two.tensors["theta"])

    def test_single_expert_has_nothing_to_learn(self, composer, context):
        name, expert = next(iter(context.experts.items()))
        made = composer.compose(context._replace(experts={name: expert}))
        assert made.report["trained_parameters"] == 0

    def test_k_beyond_the_experts(self, context):
        with pytest.raises(CompositionError, match="choose k from 1 to 2"):
            TopK(TopK.Config(k=3)).compose(context)

    def test_experts_that_do_nothing_are_noticed(self, composer, context, monkeypatch):
        def idle(*args, **kwargs):
            from selfmoe.fit import FitReport

            return FitReport([1.0], 1, 1)

        with pytest.raises(StageError, match="left the gate exactly"):
            composer.compose(context._replace(fit=idle))

    def test_used_with_top_k_after_training_with_all(self, composer, context):
        made = composer.compose(context)
        with attach(context.base.model, composer, made, context.experts) as mixture:
            assert mixture.gate.k == 1
