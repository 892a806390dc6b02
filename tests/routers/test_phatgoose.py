"""PHATGOOSE: gates trained apart, one expert at a time, and compared when experts are together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import linears
from selfmoe.testing.composers import ComposerContract, assert_close, assert_same
from selfmoe.testing.routing import logits, tokens
from selfmoe_router_phatgoose import Phatgoose
from selfmoe_router_phatgoose.gate import ComparingGate, tensor_name

NAMES = ("0", "mlp", "math-v2")  # of the mixed experts
QUICK = {"max_steps": 3, "batch_size": 2, "lr": 0.05}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"k": 1}, {"weight": "softmax"}])
    def composer(self, request):
        return Phatgoose(Phatgoose.Config(**QUICK, **request.param))


def compose(ctx, **options):
    return Phatgoose(Phatgoose.Config(**{**QUICK, **options})).compose(ctx)


def handles_of(model, weigh):
    """Add to every linear what experts contribute: ``weigh(name, x) -> [(weight, factors)]``."""

    def hook(name):
        def after(module, args, output):
            for weight, f in weigh(name, args[0]):
                output = output + weight * (args[0] @ f.a.T @ f.b.T) * f.scale
            return output

        return after

    return [linear.register_forward_hook(hook(name)) for name, linear in linears(model).items()]


# --- training ---------------------------------------------------------------------------------


def test_a_step_is_that_of_the_sigmoid_gate(context):
    """One AdamW step from v = 0 moves by the rate against the gradient of the naive formula."""
    name = "mlp"
    factors = factors_of(context.experts[name])
    vectors = {site: torch.zeros(f.a.shape[1], requires_grad=True) for site, f in factors.items()}

    def weigh(site, x):
        return (
            [(torch.sigmoid(x @ vectors[site])[..., None], factors[site])]
            if site in factors
            else []
        )

    handles = handles_of(context.base.model, weigh)
    total, count = torch.zeros(()), 0
    for example in context.data:
        if example.domain == name:
            row = encode(example, context.base.tokenizer)
            out = logits(context.base.model, torch.tensor([row.ids]))[0, row.prompt - 1 : -1]
            answer = torch.tensor(row.ids[row.prompt :])
            total = total + cross_entropy(out, answer, reduction="sum")
            count += len(answer)
    (total / count).backward()
    for handle in handles:
        handle.remove()

    few = context._replace(experts={name: context.experts[name]})
    made = compose(few, k=1, max_steps=1, batch_size=8, lr=0.01, warmup=0.0, clip=1e9)
    assert made.report["first_loss"] == pytest.approx(float(total.detach() / count), rel=1e-5)
    assert set(made.tensors) == {tensor_name(site) for site in factors}
    for site, vector in vectors.items():
        clear = vector.grad.abs() > 1e-6  # AdamW divides by the gradient's size, plus 1e-8
        moved = made.tensors[tensor_name(site)][0]
        assert_close(moved[clear], -0.01 * vector.grad.sign()[clear], 0.02)


def test_training_lowers_the_loss(llama):
    report = compose(llama, max_steps=40, batch_size=3).report
    assert report["last_loss"] < report["first_loss"]
    assert report["steps"] == 3 * 40


def test_an_expert_learns_from_its_own_examples_alone(llama):
    made = compose(llama)
    others = [replace(e, response="9 9 9") if e.domain != "mlp" else e for e in llama.data]
    again = compose(llama._replace(data=others, work=llama.work / "again"))
    for name, vectors in made.tensors.items():
        assert torch.equal(vectors[1], again.tensors[name][1])
    assert any(not torch.equal(v[2], again.tensors[n][2]) for n, v in made.tensors.items())


def test_seeds_matter_and_experts_have_seeds_of_their_own(llama):
    same = [replace(e, domain=d) for d in NAMES for e in llama.data]
    paths = dict.fromkeys(NAMES, llama.experts["mlp"].path)
    twins = {name: replace(expert, path=paths[name]) for name, expert in llama.experts.items()}
    ctx = llama._replace(data=same, experts=twins)
    made = compose(ctx)
    assert not all(torch.equal(v[0], v[1]) for v in made.tensors.values())
    other = compose(ctx._replace(seed=1, work=llama.work / "other"))
    assert not all(torch.equal(v, other.tensors[n]) for n, v in made.tensors.items())


class Killed(Exception):
    pass


def test_resumes_with_the_same_bits(llama):
    whole = compose(llama)

    calls = []

    def progress(step, steps, text):
        calls.append(step)
        if len(calls) == 5:  # in the second expert's second step
            raise Killed

    cut = llama._replace(work=llama.work / "cut", fit=Fit(progress, save_seconds=-1.0))
    with pytest.raises(Killed):
        compose(cut)
    assert sorted(p.name for p in (cut.work / "gates").iterdir()) == ["0", "mlp"]
    steps = []
    fit = Fit(lambda step, *_: steps.append(step), save_seconds=-1.0)
    assert_same(compose(cut._replace(fit=fit)), whole)
    assert steps == [2, 3, 1, 2, 3], "the first expert's steps were done again"


def test_checkpointing_learns_the_same(llama):
    made = compose(llama)
    saving = compose(llama._replace(work=llama.work / "saving"), gradient_checkpointing=True)
    for name, vectors in made.tensors.items():
        torch.testing.assert_close(saving.tensors[name], vectors)


# --- in use -----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("weight", ["one", "softmax"])
def test_is_the_formula(context, k, weight):
    generator, ids = torch.Generator().manual_seed(3), tokens()
    made = compose(context, k=k, weight=weight, max_steps=1)
    drawn = {
        name: torch.randn(v.shape, generator=generator) * 3 * (v != 0).any(-1, keepdim=True)
        for name, v in made.tensors.items()
    }
    made = replace(made, tensors=drawn)
    factors = [factors_of(expert) for expert in context.experts.values()]

    def weigh(site, x):
        there = [i for i, f in enumerate(factors) if site in f]
        if not there:
            return []
        z = (x - x.mean(-1, True)) / x.var(-1, unbiased=False, keepdim=True).add(1e-5).sqrt()
        v = drawn[tensor_name(site)][there]
        v = (v - v.mean(-1, True)) / v.var(-1, unbiased=False, keepdim=True).add(1e-5).sqrt()
        scores = z @ v.T / x.shape[-1] ** 0.5
        top = scores.topk(min(k, len(there)), dim=-1)
        every = scores.exp().sum(-1, keepdim=True)
        weights = top.values.softmax(-1) if weight == "one" else top.values.exp() / every
        spread = torch.zeros_like(scores).scatter(-1, top.indices, weights)
        return [(spread[..., j, None], factors[i][site]) for j, i in enumerate(there)]

    plain = logits(context.base.model, ids)
    handles = handles_of(context.base.model, weigh)
    expected = logits(context.base.model, ids)
    for handle in handles:
        handle.remove()
    assert (expected - plain).abs().max() > 0.1 * plain.abs().max()
    router = Phatgoose(Phatgoose.Config(k=k, weight=weight))
    with attach(context.base.model, router, made, context.experts):
        assert_close(logits(context.base.model, ids), expected)


def test_experts_that_do_not_change_a_layer_take_no_place_there():
    vectors = torch.tensor([[0.0, 0, 0, 0], [1, 2, 3, 4], [4, 3, 2, 2]])
    gate = ComparingGate({tensor_name("a.b"): vectors}, 2, weight="one")
    alpha = gate(torch.randn(1, 3, 4), Site(0, "a.b"), TokenInfo())
    assert (alpha[..., 0] == 0).all()
    assert (alpha[..., 1:] > 0).all()
    torch.testing.assert_close(alpha.sum(-1), torch.ones(1, 3))


# --- experts that join ------------------------------------------------------------------------


def test_extending_leaves_the_others_and_is_composing_at_once(context):
    router = Phatgoose(Phatgoose.Config(**QUICK, k=1))
    few = {name: context.experts[name] for name in NAMES[:2]}
    made = router.compose(context._replace(experts=few, data=context.data[:2]))
    fits = Fit()
    joined = router.extend(made, context._replace(work=context.work / "joined", fit=fits))
    assert [label for label, _ in fits.history] == ["router phatgoose, gate of math-v2"]
    for name, vectors in made.tensors.items():
        assert torch.equal(joined.tensors[name][:2], vectors)
    some = [e for i, e in enumerate(context.data) if i < 2 or e.domain == "math-v2"]
    fresh = router.compose(context._replace(data=some, work=context.work / "fresh"))
    assert joined.tensors.keys() == fresh.tensors.keys()
    assert all(torch.equal(t, joined.tensors[n]) for n, t in fresh.tensors.items())
    assert joined.report["steps"] == fresh.report["steps"]
    assert joined.report["trained_parameters"] == fresh.report["trained_parameters"]


def test_extending_with_other_options(llama):
    made = compose(llama._replace(experts={"0": llama.experts["0"]}), k=1)
    with pytest.raises(CompositionError, match=r"with other options \(lr\)"):
        Phatgoose(Phatgoose.Config(**{**QUICK, "lr": 1.0}, k=1)).extend(made, llama)


def test_an_expert_without_data(llama):
    some = [e for e in llama.data if e.domain != "mlp"]
    with pytest.raises(CompositionError, match=r"none for mlp\n  Domains .* of: 0, math-v2\."):
        compose(llama._replace(data=some))


def test_k_beyond_the_experts(llama):
    with pytest.raises(CompositionError, match="choose k from 1 to 3"):
        compose(llama, k=4)
