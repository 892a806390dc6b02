"""Joint training: the runtime's gradients are the formula's; what it saves are LoRA adapters."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.fitting import FitConfig
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import read_composition, references, write_composition
from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.fitting.loop import Fit, padding
from selfmoe.models.structure import find_decoder, linears
from selfmoe.registry.registry import registry
from selfmoe.testing.composers import ComposerContract, assert_close, assert_same
from selfmoe.testing.reference import naive_mixture, topk_alpha
from selfmoe.testing.routing import Given, logits, tokens
from selfmoe_router_joint import Joint
from selfmoe_router_joint.training import Together, initial_adapters

NAMES = ("0", "mlp", "math-v2")  # of the mixed experts
QUICK = {"max_steps": 3, "batch_size": 2, "lr": 0.05}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"k": 2}, {"train_k": "k"}])
    def composer(self, request):
        return Joint(Joint.Config(**QUICK, **request.param))


@pytest.fixture
def changes():
    options = {"epochs": 2, "batch_size": 4, "lr": 0.01}
    return {"trainer": registry().configure("trainer", "lora", options)}


def compose(ctx, **options):
    return Joint(Joint.Config(**{**QUICK, **options})).compose(ctx)


# --- what it starts from ----------------------------------------------------------------------


def test_starts_as_lora_does_in_the_shapes_of_the_experts(llama):
    first = initial_adapters(llama)
    for name, expert in llama.experts.items():
        for site, like in factors_of(expert).items():
            a, b, scale = first[name][site]
            bound = 1 / math.sqrt(a.shape[1])  # kaiming_uniform_ with a = sqrt(5)
            assert (a.shape, b.shape, scale) == (like.a.shape, like.b.shape, like.scale)
            assert 0.8 * bound < a.abs().max() <= bound
            assert not b.any()


def test_is_fitted_as_the_experts_were_unless_told_otherwise(llama):
    router = Joint()
    assert router._fit_options(llama) == FitConfig(epochs=2, batch_size=4, lr=0.01)
    changed = Joint(Joint.Config(lr=0.5, max_steps=7))
    expected = FitConfig(epochs=2, batch_size=4, lr=0.5, max_steps=7)
    assert changed._fit_options(llama) == expected
    assert router._fit_options(llama._replace(trainer=None)) == FitConfig()


def test_reads_the_tokens_of_all_experts_together(llama):
    made = Joint().compose(llama)
    rows = encode_all(llama.data, llama.base, "")
    assert made.report["tokens"] == 2 * sum(len(row.ids) for row in rows)
    assert made.report["steps"] == 2 * 3


# --- gradients --------------------------------------------------------------------------------


def test_gradients_are_those_of_the_formula(context):
    """Of θ and of every A and B, at adapters that are not zero."""
    model = context.base.model
    adapters = {name: factors_of(expert) for name, expert in context.experts.items()}
    theta = torch.randn(3, 32, generator=torch.Generator().manual_seed(2)) * 0.3
    rows = encode_all(context.data[:3], context.base, "")
    batch = collate(rows, padding(context.base.tokenizer), torch.device("cpu"))

    def loss(found):
        return cross_entropy(found[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten())

    made = Composition(
        "joint",
        Joint(Joint.Config(k=2)).options.model_dump(mode="json"),
        references(context.experts),
        {"theta": theta},
    )
    with attach(model, Joint(Joint.Config(k=2)), made, context.experts) as mixture:
        together = Together(model, adapters)
        mixture.gate.requires_grad_(True)
        loss(together.run(batch).logits).backward()
        got = {"theta": mixture.gate.theta.grad} | {
            name: p.grad for name, p in together.parameters.items()
        }
    free = theta.clone().requires_grad_(True)
    leaves = [
        {
            s: f._replace(a=f.a.clone().requires_grad_(True), b=f.b.clone().requires_grad_(True))
            for s, f in layers.items()
        }
        for layers in adapters.values()
    ]
    decoder = find_decoder(model)
    with naive_mixture(decoder.blocks, linears(model), leaves, topk_alpha(free, 2), decoder.path):
        loss(logits(model, batch.input_ids, batch.attention_mask)).backward()
    assert_close(got["theta"], free.grad)
    largest = max(float(f.b.grad.abs().max()) for layers in leaves for f in layers.values())
    for name, layers in zip(NAMES, leaves, strict=True):
        for site, f in layers.items():
            for part in ("a", "b"):
                expected = getattr(f, part).grad
                error = (got[f"{name}/{site}/{part}"] - expected).abs().max()
                assert error < 1e-5 * max(largest, float(expected.abs().max())), (site, part)


def test_all_parts_learn(context):
    first, made = initial_adapters(context), compose(context)
    for name, path in made.owned.items():
        learnt = factors_of(Expert(name, path))
        assert all(f.b.any() for f in learnt.values())
        assert all(not torch.equal(f.a, first[name][s].a) for s, f in learnt.items())
    start = compose(context._replace(work=context.work / "one"), max_steps=1, router_lr=1e-12)
    assert not torch.equal(made.tensors["theta"], start.tensors["theta"])
    assert 0.01 < start.tensors["theta"].std() < 0.03


def test_the_router_has_a_rate_of_its_own(llama):
    """θ moves about as far as its rate says, and the experts do not mind."""
    # θ has no gradient while all B are 0: the second step is the first that moves it
    slow, fast = (
        compose(llama._replace(work=llama.work / str(rate)), router_lr=rate, max_steps=2)
        for rate in (1e-9, 1e-2)
    )
    moved = (fast.tensors["theta"] - slow.tensors["theta"]).abs().max()
    assert 1e-3 < moved < 2e-2
    for name, path in slow.owned.items():
        mine, theirs = (factors_of(Expert(name, p)) for p in (path, fast.owned[name]))
        assert all(torch.allclose(f.b, theirs[s].b, atol=0.01) for s, f in mine.items())


def test_training_lowers_the_loss(llama):
    report = compose(llama, max_steps=30, batch_size=9, lr=0.02).report
    assert report["last_loss"] < report["first_loss"] - 0.5
    sizes = sum(
        f.a.numel() + f.b.numel() for e in llama.experts.values() for f in factors_of(e).values()
    )
    assert report["trained_parameters"] == report["added_parameters"] == sizes + 3 * 32


def test_checkpointing_learns_the_same(llama):
    lora = registry().configure("trainer", "lora", {"gradient_checkpointing": True})
    made = compose(llama, max_steps=1)
    again = compose(llama._replace(trainer=lora, work=llama.work / "again"), max_steps=1)
    assert made.report["first_loss"] == pytest.approx(again.report["first_loss"], rel=1e-6)
    assert_close(again.tensors["theta"], made.tensors["theta"])


def test_train_k_and_seed_matter(llama):
    one = compose(llama)
    for changes, ctx in (({"train_k": "k"}, llama), ({}, llama._replace(seed=1))):
        other = compose(ctx._replace(work=llama.work / str(changes)), **changes)
        assert not torch.equal(other.tensors["theta"], one.tensors["theta"])


# --- what it leaves ---------------------------------------------------------------------------


@torch.no_grad()
def test_its_adapters_are_lora_adapters_of_peft(context):
    with torch.enable_grad():
        made = compose(context)
    model, ids = context.base.model, tokens()
    for name, path in made.owned.items():
        config = json.loads((path / "adapter_config.json").read_text())
        like = json.loads((context.experts[name].path / "adapter_config.json").read_text())
        assert config == like
        expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
        assert (expected - logits(model, ids)).abs().max() > 1e-3
        alone = Composition("given", {}, (), owned={name: path})
        with attach(model, Static(None), alone, {}):
            assert_close(logits(model, ids), expected)


class Static(Given):
    """Adapters with a constant weight of 1."""

    def deltas(self, composition):
        return {}


@torch.no_grad()
def test_routes_its_own_experts(llama, tmp_path):
    with torch.enable_grad():
        made = compose(llama, k=2)
    write_composition(made, tmp_path / "saved", base_hash="tiny")
    stored = read_composition(tmp_path / "saved", base_hash="tiny", experts=llama.experts)
    model, ids = llama.base.model, tokens()
    decoder = find_decoder(model)
    own = [factors_of(Expert(n, p)) for n, p in made.owned.items()]
    alpha = topk_alpha(made.tensors["theta"], 2)
    with naive_mixture(decoder.blocks, linears(model), own, alpha, decoder.path):
        expected = logits(model, ids)
    with attach(model, Joint(Joint.Config(k=2)), stored, llama.experts) as mixture:
        assert mixture.experts == NAMES
        assert_close(logits(model, ids), expected)


class Killed(Exception):
    pass


def test_resumes_with_the_same_bits(llama):
    def progress(step, steps, text):
        if step == 2:
            raise Killed

    cut = llama._replace(work=llama.work / "cut", fit=Fit(progress, save_seconds=-1.0))
    with pytest.raises(Killed):
        compose(cut)
    steps = []
    resumed = compose(cut._replace(fit=Fit(lambda step, *_: steps.append(step))))
    assert steps == [2, 3]
    assert_same(resumed, compose(llama))


def test_without_data_and_with_too_large_a_k(llama):
    with pytest.raises(CompositionError, match="needs examples"):
        compose(llama._replace(data=[]))
    with pytest.raises(CompositionError, match="choose k from 1 to 3"):
        compose(llama, k=4)
