"""The routed runtime against the naive formula, PEFT, and itself without its shortcuts.

Tests that use the fixture ``model`` run on every family of decoders.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import model_hash, read_composition, references, write_composition
from selfmoe.models.generation import generate
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.composers import assert_close
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter, tiny_tokenizer
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import (
    Given,
    Imposed,
    logits,
    mixed_experts,
    naive_topk,
    random_theta,
    random_thetas,
    refer,
    tokens,
)
from selfmoe_router_topk import TopK


def routed(model, experts, theta, k=1, **options):
    composer = TopK(TopK.Config(k=k, **options))
    chosen = composer.options.model_dump(mode="json")
    tensors = theta if isinstance(theta, dict) else {"theta": theta}
    made = refer(experts, tensors=tensors, options=chosen)
    return attach(model, composer, made, experts)


# --- the formula ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_the_naive_formula(model, mixed, k):
    ids = tokens()
    plain = logits(model, ids)
    with naive_topk(model, mixed, random_theta(3), k) as weights:
        expected = logits(model, ids)
    assert (expected - plain).abs().max() > 0.1 * plain.abs().max()
    with attach(model, Given(Imposed(weights)), refer(mixed), mixed):
        assert_close(logits(model, ids), expected)


@torch.no_grad()
def test_in_double_precision_it_is_the_formula(tmp_path):
    model = tiny_model("llama", dtype=torch.float64)
    experts, ids = mixed_experts(model, tmp_path), tokens()
    with naive_topk(model, experts, random_theta(3), 2) as weights:
        expected = logits(model, ids)
    with attach(model, Given(Imposed(weights)), refer(experts), experts):
        assert_close(logits(model, ids), expected, tolerance=1e-12)


@torch.no_grad()
def test_free_routing_is_the_naive_one(model, experts):
    theta, ids = random_theta(3), tokens()
    with naive_topk(model, experts, theta, 3) as weights:
        logits(model, ids)
    largest = torch.stack(weights).topk(2, dim=-1).values
    clear = (largest[..., 0] - largest[..., 1]) > 1e-4
    assert clear.all(), "this seed has a near tie; choose another"
    with naive_topk(model, experts, theta, 1) as weights:
        expected = logits(model, ids)
    with routed(model, experts, theta) as mixture, mixture.record(trace=True) as record:
        assert_close(logits(model, ids), expected)
    assert_close(record.traces[0].weights, torch.stack(weights).mean(0))
    assert_close(record.mean(), torch.stack([w.mean((0, 1)) for w in weights]).double())
    used = torch.stack(weights).sum((0, 1, 2)) > 0
    assert used.sum() > 1, "all tokens went to one expert; the test shows little"


@torch.no_grad()
def test_bfloat16_is_as_near_to_float32_as_the_naive_formula(model, experts):
    ids = tokens(4, 40)
    with naive_topk(model, experts, random_theta(3), 2) as weights:
        exact = logits(model, ids)
    low = copy.deepcopy(model).bfloat16()
    decoder = find_decoder(low)
    factors = [factors_of(expert) for expert in experts.values()]

    def imposed(block, x):
        return weights[block]

    with naive_mixture(decoder.blocks, linears(low), factors, imposed, decoder.path):
        naive_error = (logits(low, ids).float() - exact).pow(2).mean().sqrt()
    with attach(low, Given(Imposed(weights)), refer(experts), experts):
        error = (logits(low, ids).float() - exact).pow(2).mean().sqrt()
    assert 0 < error <= 1.5 * naive_error


@torch.no_grad()
def test_experts_of_one_block_leave_the_others_alone(llama, tmp_path):
    options = {"layers_to_transform": [1]}
    experts = {
        str(i): Expert(str(i), random_adapter(llama, tmp_path / str(i), seed=i, options=options))
        for i in range(2)
    }
    for ids in (tokens(), tokens(1, 1)):
        with naive_topk(llama, experts, random_theta(2), 1):
            expected = logits(llama, ids)
        with routed(llama, experts, random_theta(2)):
            assert_close(logits(llama, ids), expected)


@torch.no_grad()
def test_a_copy_of_a_routed_model_has_weights_of_its_own(llama, llama_experts):
    with routed(llama, llama_experts, random_theta(3)):
        ids = tokens()
        before, twin = logits(llama, ids), copy.deepcopy(llama)
        assert torch.equal(logits(twin, ids), before)
        for parameter in llama.parameters():
            parameter.mul_(1.5)
        assert torch.equal(logits(twin, ids), before)
        for parameter in twin.parameters():
            parameter.mul_(1.5)
        assert torch.equal(logits(twin, ids), logits(llama, ids))
        assert not torch.equal(logits(twin, ids), before)


# --- PEFT -------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("rslora", [False, True])
def test_one_expert_is_its_lora(model, family, tmp_path, rslora):
    targets = FAMILIES[family].targets
    path = random_adapter(model, tmp_path / "a", r=4, alpha=6, rslora=rslora, targets=targets)
    ids = tokens()
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    with routed(model, {"a": Expert("a", path)}, random_theta(1)):
        assert_close(logits(model, ids), expected)
    with attach(model, Given(None), Composition("static", {}, (), owned={"a": path}), {}):
        assert_close(logits(model, ids), expected)


@torch.no_grad()
def test_two_copies_with_all_chosen_are_the_lora(model, experts):
    path, ids = experts["math"].path, tokens()
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    twins = {name: Expert(name, path) for name in ("one", "two")}
    with routed(model, twins, random_theta(2), k=2):
        assert_close(logits(model, ids), expected)


@torch.no_grad()
def test_expert_without_weight_changes_nothing(model, experts):
    ids = tokens()
    plain = logits(model, ids)
    none = [torch.zeros(2, 11, 3)] * 3
    with attach(model, Given(Imposed(none)), refer(experts), experts):
        assert torch.equal(logits(model, ids), plain)


# --- caches, padding, generation --------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("inputs", ["block_input", "embedding", "per_width"])
def test_cached_is_uncached(model, experts, inputs, padding):
    ids = tokens(2, 17)  # longer than any window of the families
    mask = torch.ones_like(ids)
    mask[0, :padding] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with routed(model, experts, random_thetas(experts, inputs), inputs=inputs):
        whole = logits(model, ids, mask, position_ids=places)
        cache, parts = None, []
        for start, end in [(0, 10), (10, 11), (11, 12), (12, 17)]:
            how = {"position_ids": places[:, start:end], "past_key_values": cache}
            out = model(ids[:, start:end], attention_mask=mask[:, :end], use_cache=True, **how)
            cache = out.past_key_values
            parts.append(out.logits)
    found = torch.cat(parts, 1)
    assert_close(found[0, padding:], whole[0, padding:])
    assert_close(found[1], whole[1])


@torch.no_grad()
def test_left_padding_changes_nothing(model, experts):
    ids = tokens(1, 8)
    padded = torch.cat([torch.full((1, 5), 257), ids], 1)
    mask = (torch.arange(13) >= 5).long()[None]
    with routed(model, experts, random_theta(3)) as mixture:
        with mixture.record() as record:
            whole = logits(model, ids)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with mixture.record() as padded_record:
            shifted = logits(model, padded, mask, position_ids=positions)
    assert_close(shifted[:, 5:], whole)
    assert padded_record.tokens() == record.tokens() == 8
    assert_close(padded_record.mean(), record.mean())


@pytest.mark.parametrize(
    "how",
    [{"do_sample": False}, {"do_sample": True}, {"num_beams": 3}, {"use_cache": False}],
    ids=["greedy", "sampling", "beams", "uncached"],
)
def test_generates(model, experts, how):
    ids = tokens(2, 6)
    with (
        routed(model, experts, random_theta(3)) as mixture,
        mixture.record() as record,
        mixture.annotate(prompt_mask=torch.ones_like(ids), domain=("math", "coding")),
    ):
        torch.manual_seed(0)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, **how)
    assert out.shape[1] <= 11
    assert record.tokens("prompt") >= 12
    assert record.tokens("response") >= 4
    assert abs(sum(record.shares("response").values()) - 1) < 1e-6


@torch.no_grad()
def test_greedy_generation_is_the_naive_one(model, experts):
    ids, theta = tokens(1, 6), random_theta(3)
    # The embedding of the padding token is zero: all experts would tie on it.
    how = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "suppress_tokens": [257]}
    with naive_topk(model, experts, theta, 1):
        expected = model.generate(ids, **how)
    with routed(model, experts, theta):
        assert torch.equal(model.generate(ids, **how), expected)


@pytest.mark.parametrize("pad", ["<pad>", "<eos>"])
def test_texts_of_a_batch_are_those_written_alone(model, experts, pad):
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = pad
    prompts = ["Add 1.", "How many legs have three spiders?", "Go"]
    with routed(model, experts, random_theta(3)):
        together = generate(model, tokenizer, prompts, max_new_tokens=9)
        alone = [generate(model, tokenizer, [p], max_new_tokens=9)[0] for p in prompts]
    assert together == alone
    assert len({text.text for text in together}) > 1


@torch.no_grad()
def test_saved_and_loaded_it_answers_the_same_bits(model, experts, tmp_path):
    composer = TopK(TopK.Config(k=2))
    chosen = composer.options.model_dump(mode="json")
    made = refer(experts, tensors={"theta": random_theta(3)}, options=chosen)
    made = replace(made, experts=references(experts))
    write_composition(made, tmp_path / "saved", base_hash="x")
    model.save_pretrained(tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    loaded = read_composition(tmp_path / "saved", base_hash="x", experts=experts)
    answers = []
    for on, composition in ((model, made), (again, loaded)):
        with attach(on, composer, composition, experts):
            answers.append(logits(on, tokens()))
    assert torch.equal(*answers)
    assert model_hash(again) == model_hash(model)
