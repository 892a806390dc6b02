"""The option ``weight``: what the experts weigh that a token keeps, and what it teaches a gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfmoe.contracts.composer import ComposeContext, Site, TokenInfo
from selfmoe.contracts.errors import ConfigError
from selfmoe.contracts.records import LoadedBase
from selfmoe.kits.routers import TopKGate, weigh_kept
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.forward.kernels import KERNELS
from selfmoe.mixture.runtime import attach, attach_expert
from selfmoe.mixture.storage import read_composition, reference, write_composition
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import find_decoder, linears
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import assert_close, assert_same
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_examples, tiny_tokenizer
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import even_experts, logits, mixed_experts, random_theta, tokens
from selfmoe_router_sequence import Sequence
from selfmoe_router_sequence.gate import SequenceGate
from selfmoe_router_topk import TopK
from selfmoe_router_topp import TopP
from selfmoe_router_topp.gate import TopPGate

QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}
X = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(1)) * 30
THETA = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)) * 0.5
GATES = {
    "topk": lambda weight: TopKGate(TopK.Config(weight=weight), {"theta": THETA}),
    "topp": lambda weight: TopPGate(TopP.Config(weight=weight, p=0.3), {"theta": THETA}),
    "sequence": lambda weight: SequenceGate(Sequence.Config(weight=weight), {"theta": THETA}),
}
"""Gates of four experts by router, their weight open; some of their tokens keep one expert."""


class TestTopK(ComposerContract):
    @pytest.fixture(params=["block_input", "per_linear"])
    def composer(self, request):
        return TopK(TopK.Config(inputs=request.param, weight="one", train_k="k", **QUICK))


class TestTopP(ComposerContract):
    @pytest.fixture
    def composer(self):
        return TopP(TopP.Config(weight="one", train_p="p", **QUICK))


class TestSequence(ComposerContract):
    @pytest.fixture
    def composer(self):
        return Sequence(Sequence.Config(weight="one", train_k="k", **QUICK))


# --- values and gradients ---------------------------------------------------------------------


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_alone_is_exactly_1(name, dtype):
    gates = {weight: GATES[name](weight) for weight in ("softmax", "one")}
    alpha = {w: gate(X.to(dtype), Site(0), TokenInfo()) for w, gate in gates.items()}
    assert torch.equal(alpha["one"] > 0, alpha["softmax"] > 0)
    alone = (alpha["one"] > 0).sum(-1) == 1
    assert alone.any()
    assert (alpha["one"][alone].max(-1).values == 1).all()
    assert (alpha["softmax"][alone].sum(-1) < 1).all()
    torch.testing.assert_close(alpha["one"].sum(-1), torch.ones(2, 50))
    with torch.no_grad():
        assert torch.equal(gates["one"](X.to(dtype), Site(0), TokenInfo()), alpha["one"])


@pytest.mark.parametrize("name", ["topk", "sequence"])
def test_one_expert_learns_as_if_its_weight_were_the_probability(name):
    push = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(2))
    grads = []
    for weight in ("softmax", "one"):
        gate = GATES[name](weight)
        (gate(X, Site(0), TokenInfo()) * push).sum().backward()
        grads.append(gate.theta.grad)
    assert grads[0].abs().max() > 0
    assert torch.equal(*grads)


def test_several_experts_learn_by_the_ratio_of_their_probabilities():
    gate = TopKGate(TopK.Config(weight="one", k=2), {"theta": THETA.double()})
    found = gate(X, Site(0), TokenInfo())
    push = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(2))
    (found * push).sum().backward()
    theta = THETA.clone().requires_grad_()
    scores = X / (X.pow(2).mean(-1, True) + 1e-6).sqrt() @ theta.T
    best = scores.topk(2).indices
    pair = scores.gather(-1, best).softmax(-1)
    assert_close(found.gather(-1, best).detach(), pair.detach())
    (pair * push.gather(-1, best)).sum().backward()
    assert_close(gate.theta.grad.float(), theta.grad)


def test_each_token_by_the_number_that_it_keeps():
    logits = torch.tensor([[0.3, -1.0, 0.8], [0.1, 0.4, -0.6], [0.0, 0.0, 0.0]], requires_grad=True)
    kept = logits.softmax(-1) * torch.tensor([[0.0, 0, 1], [1, 1, 0], [0, 0, 0]])
    found = weigh_kept(kept, "one")
    assert found[0].tolist() == [0, 0, 1]
    assert found[2].tolist() == [0, 0, 0]
    (grad,) = torch.autograd.grad(found, logits, torch.ones(3, 3), retain_graph=True)
    (plain,) = torch.autograd.grad(kept, logits, torch.ones(3, 3), retain_graph=True)
    assert torch.equal(grad[0], plain[0])
    torch.testing.assert_close(grad[1:], torch.zeros(2, 3))  # the sum of two is 1, whatever θ is
    (grad,) = torch.autograd.grad(found[1, 0], logits)
    a = found[1, 0].item()
    torch.testing.assert_close(grad[1], torch.tensor([a * (1 - a), -a * (1 - a), 0]))


# --- on models --------------------------------------------------------------------------------


def on(family, experts, folder):
    """Return a context of a tiny model of a family."""
    model = tiny_model(family)
    base = LoadedBase("tiny", model, tiny_tokenizer(), "tiny", 512)
    made = experts(model, folder, FAMILIES[family].targets)
    data = tiny_examples(9, tuple(made))
    return ComposeContext(base, made, data, None, Fit(), 0, folder / "work", reference)


def composed(router, ctx, theta):
    """Return what the router makes without training, with a θ of one's own."""
    return replace(router.composition(ctx), tensors={"theta": theta})


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("k", [1, 2])
def test_equals_the_naive_formula(family, kernel, k, tmp_path):
    ctx, theta = on(family, mixed_experts, tmp_path), random_theta(3)
    model, router = ctx.base.model, TopK(TopK.Config(weight="one", k=k))

    def alpha(block, x):
        p = torch.softmax(x / (x.pow(2).mean(-1, True) + 1e-6).sqrt() @ theta.T, -1)
        p = torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)
        return p / p.sum(-1, True)

    decoder, factors = find_decoder(model), [factors_of(e) for e in ctx.experts.values()]
    with naive_mixture(decoder.blocks, linears(model), factors, alpha, decoder.path):
        expected = logits(model, tokens())
    with attach(model, router, composed(router, ctx, theta), ctx.experts, kernel=kernel):
        assert_close(logits(model, tokens()), expected)
        whole = model(tokens()[:, :6], use_cache=True)
        for i in range(6, 11):
            cache = whole.past_key_values
            whole = model(tokens()[:, i : i + 1], past_key_values=cache, use_cache=True)
            assert_close(whole.logits[:, 0], expected[:, i])


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("inputs", ["embedding", "base"])
def test_one_expert_a_sequence_is_that_expert_alone(family, kernel, inputs, tmp_path):
    ctx = on(family, mixed_experts, tmp_path)
    model, ids, found = ctx.base.model, tokens(6), {}
    router = Sequence(Sequence.Config(weight="one", inputs=inputs))
    alone = []
    for expert in ctx.experts.values():
        with attach_expert(model, expert):
            alone.append(logits(model, ids))
    plain = logits(model, ids)
    made = composed(router, ctx, random_theta(3))
    with attach(model, router, made, ctx.experts, kernel=kernel) as mixture:
        mixture.gate.register_forward_hook(lambda gate, told, alpha: found.update(alpha=alpha))
        routed = logits(model, ids)
    chosen = found["alpha"][:, 0].argmax(-1).tolist()
    assert len(set(chosen)) > 1
    for row, place in enumerate(chosen):
        assert (routed[row] - plain[row]).abs().max() > 0.05 * plain[row].abs().max()
        assert_close(routed[row], alone[place][row])


@torch.no_grad()
def test_in_bfloat16_one_expert_a_sequence_is_that_expert_alone(tmp_path):
    ctx = on("llama", even_experts, tmp_path)
    model, ids = ctx.base.model.bfloat16(), tokens()
    name, expert = next(iter(ctx.experts.items()))
    router = Sequence(Sequence.Config(weight="one"))
    with attach_expert(model, expert):
        alone = logits(model, ids)
    one = ctx._replace(experts={name: expert})
    with attach(model, router, composed(router, one, random_theta(1)), one.experts):
        assert torch.equal(logits(model, ids), alone)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("k", [1, 2])
def test_compiles_without_graph_breaks(k, tmp_path):
    ctx = on("llama", mixed_experts, tmp_path)
    model, router = ctx.base.model, TopK(TopK.Config(weight="one", k=k))
    made = composed(router, ctx, random_theta(3))
    with attach(model, router, made, ctx.experts, kernel="stacked"):
        expected = logits(model, tokens(), use_cache=False)
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_close(logits(compiled, tokens(), use_cache=False), expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_compiled_it_passes_the_gradient_on():
    plain, fast = GATES["topk"]("one"), GATES["topk"]("one")
    torch._dynamo.reset()
    compiled = torch.compile(fast, fullgraph=True, backend="aot_eager")
    for gate in (plain, compiled):
        (gate(X, Site(0), TokenInfo()) * X[..., :4]).sum().backward()
    assert plain.theta.grad.abs().max() > 0
    assert_close(fast.theta.grad, plain.theta.grad)


@pytest.mark.parametrize("k", [1, 2])
def test_the_gradient_on_a_model_is_that_of_the_naive_formula(k, tmp_path):
    ctx, theta = on("llama", mixed_experts, tmp_path), random_theta(3).requires_grad_(True)
    model, router = ctx.base.model.requires_grad_(False), TopK(TopK.Config(weight="one", k=k))

    def alpha(block, x):
        p = torch.softmax(x / (x.pow(2).mean(-1, True) + 1e-6).sqrt() @ theta.T, -1)
        p = torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)
        return (p > 0).float() + p - p.detach() if k == 1 else p / p.sum(-1, True)

    decoder, factors = find_decoder(model), [factors_of(e) for e in ctx.experts.values()]
    with naive_mixture(decoder.blocks, linears(model), factors, alpha, decoder.path):
        logits(model, tokens()).logsumexp(-1).mean().backward()
    made = composed(router, ctx, theta.detach())
    with attach(model, router, made, ctx.experts) as mixture:
        mixture.gate.requires_grad_(True)
        logits(model, tokens()).logsumexp(-1).mean().backward()
        assert theta.grad.abs().max() > 1e-4
        assert_close(mixture.gate.theta.grad, theta.grad, 1e-4)  # float32, back through 3 blocks


# --- learning ---------------------------------------------------------------------------------


def test_one_expert_a_token_learns(two):
    router = TopK(TopK.Config(weight="one", train_k="k", **QUICK))
    start = router.compose(two._replace(data=[])).tensors["theta"]
    made = router.compose(two)
    assert (made.tensors["theta"] != start).any(-1).all()
    softmax = TopK(TopK.Config(train_k="k", **QUICK)).compose(
        two._replace(work=two.work / "softmax")
    )
    assert made.report["first_loss"] != softmax.report["first_loss"]


def test_with_all_experts_the_weight_makes_no_difference_until_it_is_used(two):
    made = {
        weight: TopK(TopK.Config(weight=weight, **QUICK)).compose(
            two._replace(work=two.work / weight)
        )
        for weight in ("softmax", "one")
    }
    assert torch.equal(made["softmax"].tensors["theta"], made["one"].tensors["theta"])
    found = []
    for weight, composition in made.items():
        router = TopK(TopK.Config(weight=weight, **QUICK))
        with attach(two.base.model, router, composition, two.experts):
            found.append(logits(two.base.model, tokens()))
    assert not torch.equal(*found)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_experts_that_join_learn_and_old_rows_stay(two, three, tmp_path, checkpointing):
    options = {"weight": "one", "train_k": "k", "gradient_checkpointing": checkpointing}
    router = TopK(TopK.Config(**options, init_std=0.3, **QUICK))
    before = router.compose(two)
    after = router.extend(before, three)
    fresh = router.extend(before, three._replace(data=[]))
    assert torch.equal(after.tensors["theta"][:2], before.tensors["theta"])
    assert (after.tensors["theta"][2] != fresh.tensors["theta"][2]).any()
    write_composition(after, tmp_path / "saved", base_hash="tiny")
    loaded = read_composition(tmp_path / "saved", base_hash="tiny", experts=three.experts)
    assert_same(after, loaded)
    assert loaded.options["weight"] == "one"
    with attach(three.base.model, router, loaded, three.experts) as mixture:
        assert mixture.gate.weight == "one"
        mixture.gate.register_forward_hook(_is_one_hot)
        logits(three.base.model, tokens())


def _is_one_hot(gate, told, alpha):
    assert ((alpha == 0) | (alpha == 1)).all()
    assert (alpha.sum(-1) == 1).all()


# --- settings ---------------------------------------------------------------------------------

ROUTERS = ("arrow", "phatgoose", "ridge", "sequence", "topk", "topp")


@pytest.mark.parametrize("name", ROUTERS)
def test_every_router_says_what_renormalise_became(name):
    router = registry().get("router", name)
    assert router.Config().weight == ("one" if name in {"arrow", "phatgoose"} else "softmax")
    with pytest.raises(ConfigError, match="renormalise any more; write weight: one where it was"):
        registry().configure("router", name, {"renormalise": True})


@pytest.mark.parametrize("name", ["ridge", "sequence", "topk", "topp"])
def test_the_preset_of_the_paper_has_its_formula(name):
    assert registry().get("router", name).presets["paper"]["weight"] == "softmax"
