"""Routing by sequence: what it decides from, and that it never sees the answer."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.mixture.runtime import attach
from selfmoe.models.fitting.batches import encode
from selfmoe.testing.composers import ComposerContract
from selfmoe_router_sequence import Sequence
from selfmoe_router_sequence.gate import SequenceGate

QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"inputs": "base", "k": 2, "train_k": "k"}])
    def composer(self, request):
        return Sequence(Sequence.Config(**request.param, **QUICK))


class TestGate:
    theta = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)) * 30

    def alpha(self, info, x=None, **options):
        gate = SequenceGate(Sequence.Config(**options), {"theta": self.theta})
        return gate(self.x if x is None else x, Site(0), info)

    def test_is_a_softmax_of_the_mean_of_the_prompt(self):
        prompt = torch.tensor([[0, 1, 1, 0, 0], [1, 1, 1, 1, 0]]).bool()
        mean = torch.stack([self.x[0, 1:3].mean(0), self.x[1, :4].mean(0)])
        mean = mean / (mean.pow(2).mean(-1, True) + 1e-6).sqrt()
        p = torch.softmax(mean @ self.theta.T / 0.5, -1)
        expected = torch.where(p >= p.sort(-1).values[:, -2:-1], p, 0.0)
        found = self.alpha(TokenInfo(prompt_mask=prompt), k=2, temperature=0.5)
        torch.testing.assert_close(found, expected[:, None].expand(2, 5, 4))

    def test_padding_is_no_part_of_a_prompt(self):
        padding = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
        everything = torch.ones(2, 5, dtype=torch.bool)
        for prompt in (None, everything):
            found = self.alpha(TokenInfo(attention_mask=padding, prompt_mask=prompt))
            alone = self.alpha(TokenInfo(), self.x[:1, 2:])
            torch.testing.assert_close(found[0, 0], alone[0, 0])

    def test_without_a_prompt_all_experts_get_the_same(self):
        nothing = torch.zeros(2, 5, dtype=torch.bool)
        assert torch.equal(
            self.alpha(TokenInfo(prompt_mask=nothing), k=4), torch.full((2, 5, 4), 0.25)
        )


class TestLearning(ComposerContract):
    @pytest.fixture
    def composer(self):
        return Sequence(Sequence.Config(**QUICK))

    def test_training_lowers_the_loss(self, context):
        router = Sequence(Sequence.Config(epochs=15, lr=0.05, batch_size=6, schedule="constant"))
        report = router.compose(context).report
        assert report["last_loss"] < report["first_loss"]
        assert report["trained_parameters"] == 2 * 32

    def test_it_learns_from_prompts_and_is_told_their_domains(self, context, monkeypatch):
        heard, real = [], SequenceGate.forward

        def listening(gate, x, where, info):
            heard.append(info)
            return real(gate, x, where, info)

        monkeypatch.setattr(SequenceGate, "forward", listening)
        Sequence(Sequence.Config(epochs=1, batch_size=6)).compose(context)
        rows = [encode(example, context.base.tokenizer) for example in context.data]
        known = {(row.domain, row.prompt) for row in rows}
        assert heard
        for info in heard:
            assert sorted(info.domain) == sorted(row.domain for row in rows)
            assert set(zip(info.domain, info.prompt_mask.sum(-1).tolist(), strict=True)) <= known
            assert (info.prompt_mask.sum(-1) < info.attention_mask.sum(-1)).all()

    @pytest.mark.parametrize("inputs", ["embedding", "base"])
    def test_checkpointing_learns_the_same(self, context, inputs):
        plain = Sequence(Sequence.Config(inputs=inputs, **QUICK)).compose(context)
        saving = Sequence(Sequence.Config(inputs=inputs, gradient_checkpointing=True, **QUICK))
        made = saving.compose(context).tensors["theta"]
        torch.testing.assert_close(made, plain.tensors["theta"])

    def test_used_with_top_k_after_training_with_all(self, composer, context):
        made = composer.compose(context)
        with attach(context.base.model, composer, made, context.experts) as mixture:
            assert mixture.gate.k == 1
