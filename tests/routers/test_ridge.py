"""The ridge router: the closed form, and experts that join without the data of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, StageError
from selfmoe.contracts.records import Example, Expert
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.composers import ComposerContract, assert_close, assert_same
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import logits, tokens
from selfmoe_router_ridge import Ridge

NAMES = ("0", "mlp", "math-v2")  # of the mixed experts


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"shared": True, "k": 2}, {"tokens": "all", "weight": "one"}])
    def composer(self, request):
        return Ridge(Ridge.Config(**request.param))


def compose(ctx, **options):
    return Ridge(Ridge.Config(**options)).compose(ctx)


def closed_form(ctx, ridge, *, everything=False, shared=False):
    """Return W by numpy, one example at a time, and the number of rows of X."""
    states, labels = [], []
    for example in ctx.data:
        row = encode(example, ctx.base.tokenizer)
        ids = torch.tensor([row.ids])
        seen = ctx.base.model(input_ids=ids, output_hidden_states=True).hidden_states[:-1]
        x = torch.stack([h[0, 0 if everything else row.prompt :] for h in seen]).double().numpy()
        states.append(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6))
        labels += [list(ctx.experts).index(example.domain)] * x.shape[1]
    x, y = np.concatenate(states, axis=1), np.eye(len(ctx.experts))[labels]
    if shared:
        x, y = x.reshape(1, -1, x.shape[-1]), np.tile(y, (len(x), 1))
    eye = ridge * np.eye(x.shape[-1])
    return np.stack([np.linalg.solve(b.T @ b + eye, b.T @ y).T for b in x]), len(labels)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("everything", [False, True])
def test_is_the_closed_form(context, everything, batch_size):
    expected, rows = closed_form(context, 0.7, everything=everything)
    chosen = "all" if everything else "response"
    made = compose(context, ridge=0.7, tokens=chosen, batch_size=batch_size)
    assert_close(made.tensors["theta"].double(), torch.from_numpy(expected))
    assert made.report["tokens"] == rows
    assert made.report["added_parameters"] == 3 * 3 * 32


def test_shared_is_the_closed_form_over_all_blocks(llama):
    expected, _ = closed_form(llama, 0.7, shared=True)
    made = compose(llama, ridge=0.7, shared=True)
    assert made.tensors["theta"].shape == (3, 32)
    assert_close(made.tensors["theta"].double(), torch.from_numpy(expected[0]))


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 3])
def test_routes_by_the_softmax_of_its_scores(context, k):
    made, ids = compose(context, k=k), tokens()
    theta = made.tensors["theta"]

    def alpha(block, x):
        x = x / (x.pow(2).mean(-1, True) + 1e-6).sqrt()
        p = torch.softmax(x @ theta[block].T / 0.1, -1)
        return torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)

    model = context.base.model
    decoder = find_decoder(model)
    factors = [factors_of(expert) for expert in context.experts.values()]
    with naive_mixture(decoder.blocks, linears(model), factors, alpha, decoder.path):
        expected = logits(model, ids)
    router = Ridge(Ridge.Config(k=k))
    with attach(model, router, made, context.experts):
        assert_close(logits(model, ids), expected)


def test_finds_the_domain_of_what_it_was_shown(llama):
    """Domains that answer in letters of their own are told apart, also on answers not seen."""
    words = dict(zip(NAMES, ("abcab", "pqrpq", "0120"), strict=True))

    def told(answers):
        return [Example(d, d, "Say it.", "", answer) for d, answer in answers.items()]

    router = Ridge(Ridge.Config(k=3))
    made = router.compose(llama._replace(data=told(words)))
    gate = router.gate(made)
    for place, answer in enumerate(("bca", "qrp", "201")):
        row = encode(told({"": answer})[0], llama.base.tokenizer)
        seen = llama.base.model(torch.tensor([row.ids]), output_hidden_states=True).hidden_states
        alpha = gate(seen[0][:, row.prompt : -1], Site(0), TokenInfo())
        assert (alpha.argmax(-1) == place).all()


# --- experts that join ------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("step", [1, 2])
def test_extending_gives_the_bits_of_a_fresh_composition(context, step, shared):
    router = Ridge(Ridge.Config(shared=shared, batch_size=2))
    fresh = router.compose(context)
    made = None
    for last in range(step, 4):  # the data of the others is not there any more
        known = dict(list(context.experts.items())[:last])
        old = [ref.name for ref in made.experts] if made else []
        new = [e for e in context.data if e.domain in known and e.domain not in old]
        ctx = context._replace(experts=known, data=new)
        made = router.extend(made, ctx) if made else router.compose(ctx)
    assert_same(made, fresh)


def test_extending_by_several_at_once_and_with_all_data_is_the_same(llama):
    made = compose(llama._replace(experts={"0": llama.experts["0"]}, data=llama.data[::3]))
    assert_same(Ridge().extend(made, llama), compose(llama))


def test_extending_reads_only_what_is_new(llama):
    router = Ridge()
    few = {name: llama.experts[name] for name in NAMES[:2]}
    made = router.compose(llama._replace(experts=few))
    seen = []
    watched = llama._replace(fit=Fit(lambda done, total, text: seen.append((done, total))))
    router.extend(made, watched)
    assert seen == [(3, 3)]


def test_extending_with_other_options(llama):
    made = compose(llama._replace(experts={"0": llama.experts["0"]}))
    with pytest.raises(CompositionError, match=r"with other options \(ridge\)"):
        Ridge(Ridge.Config(ridge=3.0)).extend(made, llama)


def test_extending_by_nothing(llama):
    with pytest.raises(CompositionError, match="has its 3 experts"):
        Ridge().extend(compose(llama), llama)


def test_extending_when_an_expert_has_changed(llama):
    made = compose(llama._replace(experts={"0": llama.experts["0"]}))
    changed = {**llama.experts, "0": Expert("0", llama.experts["mlp"].path)}
    with pytest.raises(CompositionError, match="expert '0' is not the one"):
        Ridge().extend(made, llama._replace(experts=changed))


# --- data -------------------------------------------------------------------------------------


def test_an_expert_without_data(llama):
    some = [e for e in llama.data if e.domain != "mlp"]
    with pytest.raises(CompositionError, match=r"none for mlp\n  Domains .* of: 0, math-v2\."):
        compose(llama._replace(data=some))


def test_data_of_no_expert_is_counted_and_left_out(llama):
    other = replace(llama.data[0], domain="law")
    made = compose(llama._replace(data=[other, *llama.data, other]))
    expected = compose(llama)
    assert made.report == {**expected.report, "ignored_examples": 2.0}
    assert all(torch.equal(t, made.tensors[n]) for n, t in expected.tensors.items())


def test_examples_beyond_the_context(llama):
    short = replace(llama.base, context=10)
    with pytest.raises(StageError, match="router ridge: 3 of 3 examples are longer"):
        compose(llama._replace(base=short))


def test_k_beyond_the_experts(llama):
    with pytest.raises(CompositionError, match="choose k from 1 to 3"):
        compose(llama, k=4)


def test_tells_how_far_it_is(llama):
    seen = []
    fit = Fit(lambda done, total, text: seen.append((done, total, text)))
    compose(llama._replace(fit=fit), batch_size=2)
    assert seen[0] == (2, 9, "examples read")
    assert seen[-1] == (9, 9, "examples read")
