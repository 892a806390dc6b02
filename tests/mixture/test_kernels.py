"""Every kernel against the naive formula, on every family, with every kind of gate."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.forward.kernels import AUTO, KERNELS
from selfmoe.mixture.forward.kernels.stacked import FEW
from selfmoe.mixture.runtime import attach
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.composers import assert_close
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import LLAMA_TARGETS, random_adapter
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import (
    WEIGHTS,
    Given,
    Imposed,
    even_experts,
    logits,
    mixed_experts,
    naive_topk,
    random_theta,
    random_weights,
    refer,
    tokens,
)


def expected_logits(model, experts, weights, ids):
    decoder = find_decoder(model)
    factors = [factors_of(expert) for expert in experts.values()]
    imposed = naive_mixture(
        list(decoder.blocks), linears(model), factors, lambda i, x: weights[i], decoder.path
    )
    with imposed:
        return logits(model, ids)


# --- equal to the formula ---------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kernel", [*KERNELS, AUTO])
def test_equals_the_naive_formula(model, mixed, kernel):
    for kind in WEIGHTS:
        for shape in [(2, 11), (1, 1)]:
            ids = tokens(*shape)
            weights = random_weights(kind, *shape)
            expected = expected_logits(model, mixed, weights, ids)
            with attach(model, Given(Imposed(weights)), refer(mixed), mixed, kernel=kernel):
                assert_close(logits(model, ids), expected)


@torch.no_grad()
@pytest.mark.parametrize("targets", [LLAMA_TARGETS, LLAMA_TARGETS[:2]], ids=["even", "uneven"])
@pytest.mark.parametrize("batch", [1, 3, FEW, FEW + 1])
def test_single_tokens_of_several_sequences(llama, tmp_path, batch, targets):
    """Uneven: the layers that the last expert leaves alone have the ranks of fewer experts."""
    experts = {}
    for name, changes in {"a": LLAMA_TARGETS, "b": LLAMA_TARGETS, "last": targets}.items():
        path = random_adapter(llama, tmp_path / name, targets=changes, seed=len(experts))
        experts[name] = Expert(name, path)
    for kind in WEIGHTS:
        weights = random_weights(kind, batch, 1, n=len(experts))
        ids = tokens(batch, 1)
        expected = expected_logits(llama, experts, weights, ids)
        how = {"kernel": "stacked"}
        with attach(llama, Given(Imposed(weights)), refer(experts), experts, **how):
            assert_close(logits(llama, ids), expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_experts_without_weight_change_nothing(model, mixed, kernel):
    for shape in [(2, 11), (1, 1)]:
        ids = tokens(*shape)
        plain, zeros = logits(model, ids), random_weights("zeros", *shape)
        with attach(model, Given(Imposed(zeros)), refer(mixed), mixed, kernel=kernel):
            found = logits(model, ids)
        if kernel == "grouped":  # the layers see the tokens in another order
            assert_close(found, plain)
        else:
            assert torch.equal(found, plain)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 2, 16, 64])
def test_any_number_of_experts(llama, tmp_path, kernel, n):
    experts = {
        f"e{i}": Expert(f"e{i}", random_adapter(llama, tmp_path / f"e{i}", r=2 + i % 2, seed=i))
        for i in range(n)
    }
    for shape in [(2, 9), (1, 1)]:
        weights = random_weights("top1", *shape, n=n)
        expected = expected_logits(llama, experts, weights, tokens(*shape))
        with attach(llama, Given(Imposed(weights)), refer(experts), experts, kernel=kernel):
            assert_close(logits(llama, tokens(*shape)), expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_uniform_weights_are_the_merge_by_concatenation(model, family, kernel, tmp_path):
    targets = FAMILIES[family].targets
    experts = even_experts(model, tmp_path, targets)
    merged = PeftModel.from_pretrained(
        copy.deepcopy(model), str(experts["math"].path), adapter_name="math"
    )
    for name in ("coding", "facts"):
        merged.load_adapter(str(experts[name].path), adapter_name=name)
    merged.add_weighted_adapter(list(experts), [1 / 3] * 3, "cat", combination_type="cat")
    merged.set_adapter("cat")
    ids = tokens()
    weights = random_weights("uniform", 2, 11)
    with attach(model, Given(Imposed(weights)), refer(experts), experts, kernel=kernel):
        assert_close(logits(model, ids), logits(merged, ids))


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_is_as_near_to_float32_as_the_naive_formula(llama, llama_experts, kernel):
    low = copy.deepcopy(llama).bfloat16()
    for shape in [(4, 40), (1, 1)]:
        ids = tokens(*shape)
        weights = random_weights("top1", *shape)
        exact = expected_logits(llama, llama_experts, weights, ids)
        naive = expected_logits(low, llama_experts, weights, ids)
        with attach(
            low, Given(Imposed(weights)), refer(llama_experts), llama_experts, kernel=kernel
        ):
            found = logits(low, ids)
        errors = [(some.float() - exact).pow(2).mean().sqrt() for some in (found, naive)]
        assert 0 < errors[0] <= 1.5 * errors[1]


# --- generation -------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("how", [{"num_beams": 3}, {"do_sample": False}], ids=["beams", "greedy"])
def test_generates_what_the_naive_mixture_does(llama, llama_experts, kernel, how, routed):
    ids, theta = tokens(1, 6), random_theta(3)
    how = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, **how}
    how["suppress_tokens"] = [257]  # its embedding is zero: all experts would tie on it
    with naive_topk(llama, llama_experts, theta, 1):
        expected = llama.generate(ids, **how)
    with routed(llama, llama_experts, kernel):
        assert torch.equal(llama.generate(ids, **how), expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_prefixes_caches_and_padding(llama, llama_experts, kernel, routed):
    ids = tokens(1, 9)
    padded = torch.cat([torch.full((1, 4), 257), ids], 1)
    mask = (torch.arange(13) >= 4).long()[None]
    with routed(llama, llama_experts, kernel):
        whole = logits(llama, ids)
        assert_close(logits(llama, ids[:, :5]), whole[:, :5])
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        assert_close(logits(llama, padded, mask, position_ids=places)[:, 4:], whole)
        out = llama(ids[:, :6], use_cache=True)
        for i in range(6, 9):
            out = llama(ids[:, i : i + 1], past_key_values=out.past_key_values, use_cache=True)
            assert_close(out.logits[:, 0], whole[:, i])


# --- compilation ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("of", ["llama", "gpt2"])
def test_compiles_without_graph_breaks(of, written, routed):
    model, experts, ids = tiny_model(of), written(mixed_experts, of), tokens()
    with routed(model, experts, "stacked"):
        expected = logits(model, ids, use_cache=False)
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_close(logits(compiled, ids, use_cache=False), expected)
