"""Arrow: its prototypes and weights, equal to PEFT's where PEFT works, and what PEFT cannot do."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from peft import ArrowConfig
from peft.tuners.lora import create_arrow_model

from selfmoe.contracts.composer import ComposeContext, Site, TokenInfo
from selfmoe.contracts.records import Expert, LoadedBase
from selfmoe.mixture.adapters import Factors, factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import read_composition, reference, write_composition
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close, assert_same, logits, tokens
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter
from selfmoe.testing.routing import mixed_experts
from selfmoe_router_arrow import Arrow
from selfmoe_router_arrow.gate import ArrowGate
from selfmoe_router_arrow.prototypes import direction

SITE = "model.layers.1.mlp.down_proj"


class TestContract(ComposerContract):
    domains = ("math", "coding", "facts", "law")

    @pytest.fixture(params=[1, 3])
    def composer(self, request):
        return Arrow(Arrow.Config(k=request.param))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def on(family, experts, folder):
    """Return a context of a tiny model of a family."""
    model = tiny_model(family)
    base = LoadedBase("tiny", model, None, "hash", 512)
    return ComposeContext(
        base, experts(model, folder), [], None, Fit(), 0, folder / "work", reference
    )


# --- prototypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("r", "wide", "out"), [(4, 32, 20), (1, 8, 8), (12, 8, 30), (12, 30, 8)])
def test_a_prototype_is_the_first_right_singular_vector_of_the_delta(r, wide, out):
    factors = Factors(random(r, wide), random(out, r, seed=1), 0.7)
    found = direction(factors)
    expected = torch.linalg.svd(factors.delta().double()).Vh[0]
    assert found.dtype == torch.float32
    assert abs(float(found.double() @ expected)) == pytest.approx(1.0, abs=1e-7)
    assert float(found.norm()) == pytest.approx(1.0, abs=1e-6)


def test_it_is_exact_where_power_iteration_is_not():
    # two singular values that differ by a thousandth: 15 rounds do not tell them apart
    u, _ = torch.linalg.qr(random(20, 2))
    v, _ = torch.linalg.qr(random(30, 2, seed=1))
    factors = Factors(v.t().contiguous(), u * torch.tensor([1.001, 1.0]), 1.0)
    assert abs(float(direction(factors) @ v[:, 0])) == pytest.approx(1.0, abs=1e-5)


def test_what_adds_nothing_has_no_prototype():
    assert not direction(Factors(random(2, 8), torch.zeros(4, 2), 1.0)).any()
    assert not direction(Factors(random(2, 8), random(4, 2), 0.0)).any()


# --- weights --------------------------------------------------------------------------------------


def naive(x, vectors, k, temperature, weight):
    """Return the weights of one token; ``None`` stands for an expert the layer does not have."""
    scores = {i: abs(float(x @ v)) / temperature for i, v in enumerate(vectors) if v is not None}
    best = sorted(scores, key=lambda i: -scores[i])[:k]
    among = best if weight == "one" else scores
    total = sum(torch.tensor(scores[i]).exp() for i in among)
    return [float(torch.tensor(scores[i]).exp() / total) if i in best else 0.0 for i in range(4)]


@pytest.mark.parametrize("k", [1, 2, 3, 9])
@pytest.mark.parametrize("weight", ["one", "softmax"])
def test_weights_are_a_softmax_of_the_scores(k, weight):
    vectors = [*random(3, 8), None]
    stack = torch.stack([torch.zeros(8) if v is None else v for v in vectors])
    options = Arrow.Config(k=k, temperature=0.7, weight=weight)
    gate = ArrowGate(options, {SITE: stack})
    x = random(2, 5, 8, seed=1)
    alpha = gate(x, Site(1, SITE), TokenInfo())
    for token, found in zip(x.flatten(0, 1), alpha.flatten(0, 1), strict=True):
        expected = torch.tensor(naive(token, vectors, k, 0.7, weight))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    if weight == "one":
        torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 5))
    if k == 1 and weight == "one":
        assert alpha.max() == 1.0


def test_signs_do_not_matter():
    stack = random(4, 8)
    x = random(2, 5, 8, seed=1)
    one, other, turned = (
        ArrowGate(Arrow.Config(k=2), {SITE: v})(y, Site(1, SITE), TokenInfo())
        for v, y in ((stack, x), (stack * torch.tensor([[1.0], [-1], [1], [-1]]), x), (stack, -x))
    )
    assert torch.equal(one, other)
    assert torch.equal(one, turned)


def test_a_layer_without_any_expert_stays_as_it_is():
    gate = ArrowGate(Arrow.Config(), {SITE: torch.zeros(3, 8)})
    assert not gate(random(2, 5, 8), Site(1, SITE), TokenInfo()).any()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_experts_unlike_one_another(family, tmp_path):
    ctx = on(family, lambda m, f: mixed_experts(m, f, FAMILIES[family].targets), tmp_path)
    made = Arrow(Arrow.Config(k=2)).compose(ctx)
    missing = 0
    with attach(ctx.base.model, Arrow(Arrow.Config(k=2)), made, ctx.experts) as mixture:
        seen = []
        mixture.gate.register_forward_hook(lambda m, i, alpha: seen.append((i[1].linear, alpha)))
        logits(ctx.base.model, tokens())
    for linear, alpha in seen:
        torch.testing.assert_close(alpha.sum(-1), torch.ones(alpha.shape[:-1]))
        for index, expert in enumerate(ctx.experts.values()):
            if linear not in factors_of(expert):
                missing += 1
                assert not alpha[..., index].any()
    assert missing
    assert {linear for linear, _ in seen} == set(made.tensors)


# --- PEFT -----------------------------------------------------------------------------------------


def separated(model, folder, targets, ranks=(4, 4, 4, 4)):
    """Return experts whose first singular values are far above the others: PEFT's 15 rounds do."""
    from safetensors.torch import load_file, save_file

    experts = {}
    for i, r in enumerate(ranks):
        path = random_adapter(model, folder / f"e{i}", r=r, alpha=6 + i, targets=targets, seed=i)
        weights = load_file(path / "adapter_model.safetensors")
        for name, tensor in weights.items():
            if "lora_A" in name:
                tensor[1:] *= 0.05
        save_file(weights, path / "adapter_model.safetensors", {"format": "pt"})
        experts[f"e{i}"] = Expert(f"e{i}", path)
    return experts


def peft_arrow(ctx, **options):
    """Return PEFT's Arrow of the same experts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_arrow_model(
            copy.deepcopy(ctx.base.model),
            [str(expert.path) for expert in ctx.experts.values()],
            ArrowConfig(rng_seed=0, **options),
        ).eval()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize(("k", "temperature"), [(1, 1.0), (2, 1.0), (3, 0.5), (4, 2.0)])
def test_equals_pefts_arrow(family, k, temperature, tmp_path):
    # a k of 1 is a weight of exactly 1 in both: a softmax over one score
    targets = FAMILIES[family].targets
    ctx = on(family, lambda m, f: separated(m, f, targets), tmp_path)
    peft = peft_arrow(ctx, top_k=k, router_temperature=temperature)
    router = Arrow(Arrow.Config(k=k, temperature=temperature))
    made = router.compose(ctx)
    theirs = logits(peft, tokens())
    with attach(ctx.base.model, router, made, ctx.experts):
        ours = logits(ctx.base.model, tokens())
    layers = {n: m for n, m in peft.named_modules() if type(m).__name__ == "ArrowLoraLinearLayer"}
    for name, layer in layers.items():
        site = name.removeprefix("base_model.model.").removesuffix(".lora_arrow.arrow_router")
        cosine = (layer.prototypes * made.tensors[site]).sum(-1).abs()
        assert (cosine > 1 - 1e-5).all(), "PEFT's power iteration has not converged"
    assert len(layers) == len(made.tensors)
    assert_close(ours, theirs)
    with torch.no_grad():
        assert (ours - logits(ctx.base.model, tokens())).abs().max() > 0.1


def test_ranks_of_experts_may_differ_unlike_in_peft(tmp_path):
    targets = FAMILIES["llama"].targets
    ctx = on("llama", lambda m, f: separated(m, f, targets, ranks=(2, 4, 8)), tmp_path)
    with pytest.raises(ValueError, match="rank mismatch"):
        peft_arrow(ctx, top_k=2)
    made = Arrow().compose(ctx)
    with attach(ctx.base.model, Arrow(), made, ctx.experts):
        assert torch.isfinite(logits(ctx.base.model, tokens())).all()


def test_two_experts_do_with_the_default_k_unlike_in_peft(tmp_path):
    targets = FAMILIES["llama"].targets
    ctx = on("llama", lambda m, f: separated(m, f, targets, ranks=(4, 4)), tmp_path)
    with pytest.raises(RuntimeError, match="out of range"):
        logits(peft_arrow(ctx), tokens())
    with attach(ctx.base.model, Arrow(), Arrow().compose(ctx), ctx.experts):
        ours = logits(ctx.base.model, tokens())
    assert_close(ours, logits(peft_arrow(ctx, top_k=2), tokens()))


def test_saved_and_loaded_it_routes_as_before_unlike_in_peft(tmp_path):
    from peft import PeftModel

    targets = FAMILIES["llama"].targets
    ctx = on("llama", lambda m, f: separated(m, f, targets), tmp_path)
    peft = peft_arrow(ctx)
    peft.save_pretrained(tmp_path / "peft")
    with pytest.raises(AttributeError, match="copy"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PeftModel.from_pretrained(copy.deepcopy(ctx.base.model), tmp_path / "peft" / "arrow_router")
    made = Arrow().compose(ctx)
    write_composition(made, tmp_path / "saved", base_hash="hash")
    loaded = read_composition(tmp_path / "saved", base_hash="hash", experts=ctx.experts)
    assert_same(made, loaded)
    found = []
    for composition in (made, loaded):
        with attach(ctx.base.model, Arrow(), composition, ctx.experts):
            found.append(logits(ctx.base.model, tokens()))
    assert torch.equal(*found)


# --- adding experts -------------------------------------------------------------------------------


def test_extended_is_composed_anew_and_old_prototypes_stay(two, three):
    before = Arrow().compose(two)
    after = Arrow().extend(before, three)
    assert_same(after, Arrow().compose(three))
    assert set(before.tensors) < set(after.tensors)
    for site, vectors in before.tensors.items():
        assert torch.equal(after.tensors[site][:2], vectors)
    new = set(after.tensors) - set(before.tensors)
    assert all(not after.tensors[site][:2].any() for site in new)
    assert after.report["trained_parameters"] == 0
