"""The MiXSE router: what it learns and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, StageError
from selfmoe.kits.routers import TopKGate
from selfmoe.kits.routers.learning import learn
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import read_composition, write_composition
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close, assert_same
from selfmoe.testing.composers import ComposerContract
from selfmoe_router_topk import TopK

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

    def test_what_top1_does_not_keep_is_left_to_the_base(self):
        gate, _ = self.gate(k=1)
        alpha = gate(self.x(), Site(0), TokenInfo())
        assert ((alpha > 0).sum(-1) == 1).all()
        assert (alpha.sum(-1) < 1).all()

    def test_two_that_weigh_one_together(self):
        gate, _ = self.gate(k=2, weight="one")
        torch.testing.assert_close(gate(self.x(), Site(0), TokenInfo()).sum(-1), torch.ones(2, 5))

    def test_works_in_float32_on_bfloat16_input(self):
        gate, _ = self.gate(k=4)
        x = self.x().bfloat16()
        assert torch.equal(gate(x, Site(0), TokenInfo()), gate(x.float(), Site(0), TokenInfo()))

    def test_what_weight_one_was_called_before(self):
        with pytest.raises(ValidationError, match="write weight: one where it was true"):
            TopK.Config(k=2, renormalise=True)


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
            from selfmoe.contracts.fitting import FitReport

            return FitReport([1.0], 1, 1)

        with pytest.raises(StageError, match="left the gate exactly"):
            composer.compose(context._replace(fit=idle))

    def test_used_with_top_k_after_training_with_all(self, composer, context):
        made = composer.compose(context)
        with attach(context.base.model, composer, made, context.experts) as mixture:
            assert mixture.gate.k == 1
            assert not mixture.gate.keep_all


def kept(before, after):
    """Return whether every θ that was there has its rows still, and new ones below them."""
    return all(
        torch.equal(after.tensors[name][:2], theta) and len(after.tensors[name]) == 3
        for name, theta in before.tensors.items()
    )


class TestExtend:
    @pytest.mark.parametrize("inputs", INPUTS)
    @pytest.mark.parametrize("options", [{}, {"weight_decay": 0.5}, {"load_balance": 1.0}])
    def test_old_rows_stay_and_new_ones_learn(self, two, three, inputs, options):
        router = TopK(TopK.Config(inputs=inputs, **options, **QUICK))
        before = router.compose(two)
        after = router.extend(before, three)
        untrained = router.extend(before, three._replace(data=[]))
        assert kept(before, after)
        assert kept(before, untrained)
        fresh = router.compose(three._replace(data=[])).tensors
        assert set(after.tensors) == set(fresh)
        assert all(torch.equal(t[2:], fresh[name][2:]) for name, t in untrained.tensors.items())
        for name, theta in after.tensors.items():
            new = theta[2:] if name in before.tensors else theta
            start = untrained.tensors[name][-len(new) :]
            assert (new != start).any(-1).all(), f"{name} has rows that did not learn"
        assert after.report["last_loss"] > 0
        assert [ref.name for ref in after.experts] == ["math", "coding", "facts"]

    @pytest.mark.parametrize("inputs", ["per_width", "per_linear"])
    def test_layers_that_come_with_an_expert_get_a_map_of_their_own(self, two, three, inputs):
        router = TopK(TopK.Config(inputs=inputs, **QUICK))
        before = router.compose(two)
        after = router.extend(before, three)
        assert set(before.tensors) < set(after.tensors)
        assert all(len(theta) == 3 for theta in after.tensors.values())
        size = sum(theta.numel() for theta in after.tensors.values())
        old = sum(theta.numel() for theta in before.tensors.values())
        assert after.report["added_parameters"] == size
        assert after.report["trained_parameters"] == size - old

    def test_what_is_extended_can_be_attached_saved_and_extended_again(self, two, three, tmp_path):
        router = TopK(TopK.Config(**QUICK))
        first = two._replace(experts={"math": two.experts["math"]}, work=tmp_path / "first")
        made = router.compose(first)
        for ctx in (two, three):
            old, made = made, router.extend(made, ctx)
            assert torch.equal(made.tensors["theta"][: len(old.experts)], old.tensors["theta"])
        write_composition(made, tmp_path / "saved", base_hash=three.base.hash)
        loaded = read_composition(
            tmp_path / "saved", base_hash=three.base.hash, experts=three.experts
        )
        assert_same(made, loaded)
        with attach(three.base.model, router, loaded, three.experts) as mixture:
            assert torch.equal(mixture.gate.theta, made.tensors["theta"])

    def test_resumes_with_the_same_bits(self, two, three):
        router = TopK(TopK.Config(epochs=4, lr=0.05, batch_size=3, weight_decay=0.1))
        before = router.compose(two)
        whole = router.extend(before, three._replace(work=three.work / "whole"))

        def killed(step, steps, text):
            if step == 4:
                raise KeyboardInterrupt

        broken = three._replace(work=three.work / "broken")
        with pytest.raises(KeyboardInterrupt):
            router.extend(before, broken._replace(fit=Fit(killed, save_seconds=-1.0)))
        assert list(broken.work.glob("step-*"))
        resumed = router.extend(before, broken)
        assert kept(before, resumed)
        assert_same(whole, resumed)

    def test_checkpointing_learns_the_same(self, two, three):
        before = TopK(TopK.Config(**QUICK)).compose(two)
        plain = TopK(TopK.Config(**QUICK)).extend(before, three)
        saving = TopK(TopK.Config(gradient_checkpointing=True, **QUICK))
        made = saving.extend(before, three._replace(work=three.work / "saving"))
        assert kept(before, made)
        torch.testing.assert_close(made.tensors["theta"], plain.tensors["theta"])

    def test_gradients_of_new_rows_are_those_of_the_whole(self, two, three, monkeypatch):
        seen = []
        step = torch.optim.AdamW.step

        def spy(self, *arguments):
            seen.append([p.grad.clone() for g in self.param_groups for p in g["params"]])
            return step(self, *arguments)

        router = TopK(TopK.Config(batch_size=6, max_steps=1, clip=1e9))
        before = router.compose(two._replace(data=[]))
        start = router.extend(before, three._replace(data=[]))
        monkeypatch.setattr(torch.optim.AdamW, "step", spy)
        router.extend(before, three)
        learn(three._replace(work=three.work / "all"), router, start, prepare=router.prepare)
        (new,), (whole,) = seen
        assert_close(new, whole[2:])

    def test_a_composition_that_reads_other_inputs_is_refused(self, two, three):
        before = TopK(TopK.Config(inputs="per_width")).compose(two._replace(data=[]))
        with pytest.raises(CompositionError, match="inputs=per_width, not block_input; set inputs"):
            TopK().extend(before, three)

    def test_a_composition_on_another_base_is_refused(self, two, three):
        before = TopK().compose(two._replace(data=[]))
        narrow = replace(before, tensors={"theta": before.tensors["theta"][:, :7]})
        with pytest.raises(
            CompositionError, match=r"theta of shape \(2, 7\) does not fit the base"
        ):
            TopK().extend(narrow, three)
