"""What trains and merges on every family: the deltas' layout, the layers chosen, the head."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from peft import PeftModel

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Composition, Expert, LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.mixture.adapters import factors_of, read_factors
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import model_hash, reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import find_decoder, linears
from selfmoe.registry.registry import registry
from selfmoe.testing.composers import assert_close
from selfmoe.testing.families import FAMILIES
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_tokenizer
from selfmoe.testing.routing import Given, logits, tokens

FAST = {"max_steps": 2, "batch_size": 2, "lr": 0.05, "r": 2, "alpha": 4}


@pytest.fixture
def base(model):
    return LoadedBase("tiny", model, tiny_tokenizer(), hash="tiny", context=512)


def context(base, experts, folder, data=()):
    trainer = registry().configure("trainer", "lora", FAST)
    return ComposeContext(base, experts, data, trainer, Fit(), 0, folder, reference)


# --- merging ----------------------------------------------------------------------------------


@torch.no_grad()
def test_the_deltas_of_one_expert_are_its_lora(model, experts):
    path, ids = experts["math"].path, tokens()
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    deltas = {site: factors.delta() for site, factors in factors_of(experts["math"]).items()}
    with Static(deltas).on(model):
        assert_close(logits(model, ids), expected)


class Static(Given):
    def __init__(self, deltas):
        super().__init__(None)
        self._deltas = deltas

    def deltas(self, composition):
        return self._deltas

    def on(self, model):
        return attach(model, self, Composition("static", {}, ()), {})


@torch.no_grad()
@pytest.mark.parametrize(
    ("merge", "options"), [("ties", {"density": 1.0}), ("dare", {"density": 1.0}), ("mean", {})]
)
def test_merging_copies_of_one_expert_gives_it_back(merge, options, model, base, experts, tmp_path):
    path, ids = experts["facts"].path, tokens()
    before = model_hash(model)
    plain = logits(model, ids)
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    twins = {name: Expert(name, path) for name in ("one", "two")}
    composer = registry().configure("merge", merge, options)
    made = composer.compose(context(base, twins, tmp_path))
    with attach(model, composer, made, twins):
        assert_close(logits(model, ids), expected)
    assert torch.equal(logits(model, ids), plain)
    assert model_hash(model) == before


@torch.no_grad()
@pytest.mark.parametrize("merge", ["ties", "dare", "mean"])
@pytest.mark.parametrize("rank", [None, 4])
def test_merges_of_unlike_experts_apply(merge, rank, model, base, mixed, tmp_path):
    composer = registry().configure("merge", merge, {"rank": rank})
    made = composer.compose(context(base, mixed, tmp_path))
    deltas = composer.deltas(made)
    assert set(deltas) == {site for expert in mixed.values() for site in factors_of(expert)}
    plain = logits(model, tokens())
    with attach(model, composer, made, mixed):
        merged = logits(model, tokens())
    with Static(deltas).on(model):
        assert torch.equal(logits(model, tokens()), merged)
    assert (merged - plain).abs().max() > 1e-3 * plain.abs().max()


@pytest.mark.parametrize(("merge", "options"), [("mean", {}), ("dare", {"density": 1.0})])
def test_layers_an_expert_leaves_alone_count_as_zero(merge, options, base, mixed, tmp_path):
    composer = registry().configure("merge", merge, options)
    deltas = composer.deltas(composer.compose(context(base, mixed, tmp_path)))
    factors = [factors_of(expert) for expert in mixed.values()]
    changed = set()
    for site, delta in deltas.items():
        parts = [expert[site].delta() for expert in factors if site in expert]
        changed.add(len(parts))
        torch.testing.assert_close(delta, torch.stack(parts).sum(0) / 3, atol=1e-6, rtol=1e-5)
    assert min(changed) < max(changed) == 3


# --- training ---------------------------------------------------------------------------------


def train(base, folder, **options):
    out = folder / "adapter"
    out.mkdir(parents=True)
    trainer = registry().configure("trainer", "lora", {**FAST, **options})
    trainer.train(TrainContext(base, tiny_examples(4), Fit(), 5, folder / "work", out))
    return out


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_adapts_all_linears_of_the_blocks_and_no_other(
    model, base, tmp_path, checkpointing
):
    before, ids = model_hash(model), tokens()
    plain = logits(model, ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = train(base, tmp_path, gradient_checkpointing=checkpointing)
    path = find_decoder(model).path
    assert set(read_factors(out)) == {n for n in linears(model) if n.startswith(f"{path}.")}
    assert model_hash(model) == before
    assert torch.equal(logits(model, ids), plain)
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(out)), ids)
    with attach(model, Given(None), Composition("static", {}, (), owned={"a": out}), {}):
        found = logits(model, ids)
    assert_close(found, expected)
    assert not torch.equal(found, plain)


def test_checkpointing_learns_the_same(base, tmp_path, monkeypatch):
    # It has rows read whole, which rounds otherwise; here that is so with it and without.
    monkeypatch.setattr("selfmoe.models.fitting.reading.can_read_apart", lambda *given: False)
    plain = read_factors(train(base, tmp_path / "a"))
    again = read_factors(train(base, tmp_path / "b", gradient_checkpointing=True))
    for site, factors in plain.items():
        torch.testing.assert_close(again[site].a, factors.a, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(again[site].b, factors.b, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_tied_heads_are_left_alone(model, experts):
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head.weight is embedding.weight
    assert tied == bool(model.config.tie_word_embeddings)
    deltas = {site: factors.delta() for site, factors in factors_of(experts["math"]).items()}
    with Static(deltas).on(model):
        assert (head.weight is embedding.weight) == tied
    assert (head.weight is embedding.weight) == tied


def test_the_head_is_refused_as_a_target(model, base, tmp_path):
    before, ids = model_hash(model), tokens()
    plain = logits(model, ids)
    with pytest.raises(StageError, match="output head"):
        train(base, tmp_path, target_modules=["lm_head"])
    assert model_hash(model) == before
    assert not hasattr(model, "peft_config")
    assert torch.equal(logits(model, ids), plain)


def test_targets_of_every_family_are_all_its_linears(family, model, tmp_path):
    random_adapter(model, tmp_path / "a", targets=FAMILIES[family].targets)
    path = find_decoder(model).path
    assert set(read_factors(tmp_path / "a")) == {
        name for name in linears(model) if name.startswith(f"{path}.")
    }
