"""Every kernel against the naive formula, on every family, with every kind of gate."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from selfmoe.errors import CompositionError, UnknownNameError
from selfmoe.mixture import attach
from selfmoe.mixture.kernels import AUTO, KERNELS, choose, grouped, single, stacked
from selfmoe.mixture.kernels.weights import Weights
from selfmoe.mixture.layers import RoutedDelta
from selfmoe.mixture.structure import find_decoder, linears
from selfmoe.records import Expert
from selfmoe.testing.composers import assert_close
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import (
    Given,
    Imposed,
    even_experts,
    logits,
    mixed_experts,
    naive_topk,
    random_theta,
    refer,
    tokens,
)
from selfmoe_router_topk import TopK

KINDS = ("top1", "top2", "all", "uniform", "one", "zeros", "some zeros")


def weights_of(kind, batch, time, n=3):
    """Return weights for each of three blocks."""
    generator = torch.Generator().manual_seed(11)
    p = torch.rand(3, batch, time, n, generator=generator).softmax(-1)
    if kind in {"top1", "top2", "some zeros"}:
        least = p.topk(2 if kind == "top2" else 1).values[..., -1:]
        p = torch.where(p >= least, p, 0.0)
    if kind == "some zeros":
        p[:, :, ::2] = 0
    if kind == "uniform":
        p = torch.full_like(p, 1 / n)
    if kind == "one":
        p = torch.zeros_like(p)
        p[..., 1] = 0.7
    if kind == "zeros":
        p = torch.zeros_like(p)
    return list(p)


def expected_logits(model, experts, weights, ids):
    decoder = find_decoder(model)
    factors = [expert.factors() for expert in experts.values()]
    imposed = naive_mixture(
        list(decoder.blocks), linears(model), factors, lambda i, x: weights[i], decoder.path
    )
    with imposed:
        return logits(model, ids)


def routed(model, experts, kernel=AUTO, k=1, theta=None):
    composer = TopK(TopK.Config(k=k))
    chosen = composer.options.model_dump(mode="json")
    theta = random_theta(len(experts)) if theta is None else theta
    made = refer(experts, tensors={"theta": theta}, options=chosen)
    return attach(model, composer, made, experts, kernel=kernel)


# --- equal to the formula ---------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kernel", [*KERNELS, AUTO])
def test_equals_the_naive_formula(model, mixed, kernel):
    for kind in KINDS:
        for shape in [(2, 11), (1, 1)]:
            ids = tokens(*shape)
            weights = weights_of(kind, *shape)
            expected = expected_logits(model, mixed, weights, ids)
            with attach(model, Given(Imposed(weights)), refer(mixed), mixed, kernel=kernel):
                assert_close(logits(model, ids), expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_experts_without_weight_change_nothing(model, mixed, kernel):
    for shape in [(2, 11), (1, 1)]:
        ids = tokens(*shape)
        plain, zeros = logits(model, ids), weights_of("zeros", *shape)
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
        weights = weights_of("top1", *shape, n=n)
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
    weights = weights_of("uniform", 2, 11)
    with attach(model, Given(Imposed(weights)), refer(experts), experts, kernel=kernel):
        assert_close(logits(model, ids), logits(merged, ids))


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_is_as_near_to_float32_as_the_naive_formula(llama, llama_experts, kernel):
    low = copy.deepcopy(llama).bfloat16()
    for shape in [(4, 40), (1, 1)]:
        ids, errors = tokens(*shape), []
        weights = weights_of("top1", *shape)
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
def test_generates_what_the_naive_mixture_does(llama, llama_experts, kernel, how):
    ids, theta = tokens(1, 6), random_theta(3)
    how = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, **how}
    how["suppress_tokens"] = [257]  # its embedding is zero: all experts would tie on it
    with naive_topk(llama, llama_experts, theta, 1):
        expected = llama.generate(ids, **how)
    with routed(llama, llama_experts, kernel):
        assert torch.equal(llama.generate(ids, **how), expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_prefixes_caches_and_padding(llama, llama_experts, kernel):
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


# --- gradients --------------------------------------------------------------------------------


def gradients(model, experts, kernel, theta, train=()):
    """Return the gradients of θ and of the experts' factors whose names are given."""
    with routed(model, experts, kernel, theta=theta) as mixture:
        deltas = [m for m in model.modules() if isinstance(m, RoutedDelta)]
        wanted = [getattr(d, name).requires_grad_(True) for d in deltas for name in train]
        wanted += list(mixture.gate.requires_grad_(True).parameters())
        logits(model, tokens(), use_cache=False).float().logsumexp(-1).mean().backward()
        return [tensor.grad.clone() for tensor in wanted]


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_do_not_depend_on_the_kernel(model, mixed, kernel):
    theta = random_theta(3).requires_grad_(True)
    with naive_topk(model, mixed, theta, 1):
        logits(model, tokens(), use_cache=False).float().logsumexp(-1).mean().backward()
    (found,) = gradients(model, mixed, kernel, theta)
    assert_close(found, theta.grad)


@pytest.mark.parametrize("train", [("a", "b"), ("b",)])
def test_experts_can_be_trained(model, mixed, train):
    """The factors' gradients are those of a layer that adds ``B A`` with autograd alone."""
    theta = random_theta(3)
    plain = gradients(model, mixed, "stacked", theta)
    found = gradients(model, mixed, "stacked", theta, train)
    assert_close(found[-1], plain[-1])
    step, place = 1e-3, [p.abs().argmax() for p in found[:-1]]
    with routed(model, mixed, "stacked", theta=theta):
        deltas = [m for m in model.modules() if isinstance(m, RoutedDelta)]
        tensors = [getattr(d, name) for d in deltas for name in train]
        pick = max(range(len(tensors)), key=lambda i: found[i].abs().max())
        index = torch.unravel_index(place[pick], tensors[pick].shape)
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                tensors[pick][index] += sign * step
                values.append(logits(model, tokens()).double().logsumexp(-1).mean())
                tensors[pick][index] -= sign * step
    slope = (values[0] - values[1]) / (2 * step)
    assert abs(slope - found[pick][index]) < 0.05 * abs(slope)


# --- sharing ----------------------------------------------------------------------------------


def groups_of(model):
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, RoutedDelta) and ".0." in name:
            found.setdefault(id(module.group), set()).add(module.name.split(".")[-1])
    return sorted(map(sorted, found.values()))


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("llama", [["down_proj"], ["gate_proj", "up_proj"], ["k_proj", "q_proj", "v_proj"]]),
        ("gpt2", [["c_attn"], ["c_fc"], ["c_proj"]]),
        ("gpt_neox", [["dense"], ["dense_4h_to_h"], ["dense_h_to_4h"], ["query_key_value"]]),
    ],
)
def test_layers_that_read_the_same_input_are_found(of, expected, written):
    model, experts = tiny_model(of), written(even_experts, of)
    with routed(model, experts):
        found = groups_of(model)
    assert [group for group in expected if group not in found] == []
    assert all(len(group) == 1 for group in found if group not in expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_layers_that_read_other_inputs_after_all_are_served(llama, llama_experts, kernel):
    ids, attention = tokens(), llama.model.layers[1].self_attn
    with naive_topk(llama, llama_experts, random_theta(3), 1):
        expected = logits(llama, ids)
    handles = [
        linear.register_forward_pre_hook(lambda module, args: (args[0].clone(),))
        for linear in (attention.k_proj, attention.v_proj)
    ]
    with routed(llama, llama_experts, kernel):
        for handle in handles:
            handle.remove()
        assert_close(logits(llama, ids), expected)
        handles = [
            linear.register_forward_pre_hook(lambda module, args: (args[0].clone(),))
            for linear in (attention.q_proj, attention.v_proj)
        ]
        assert_close(logits(llama, ids), expected)
        for handle in handles:
            handle.remove()


def test_nothing_is_held_after_a_forward(llama, llama_experts):
    with routed(llama, llama_experts), torch.no_grad():
        logits(llama, tokens())
        for module in llama.modules():
            if isinstance(module, RoutedDelta):
                assert module.group._x is None
                assert module.group._pieces == ()


# --- choosing ---------------------------------------------------------------------------------


@torch.no_grad()
def test_kernels_are_chosen_by_shape(llama, llama_experts):
    with routed(llama, llama_experts):
        group = llama.model.layers[0].self_attn.q_proj.selfmoe_delta.group
        one = torch.tensor([[0.0, 0.6, 0.0]])
        many = torch.eye(3).repeat(64, 1)
        four = torch.eye(4).repeat(64, 1)

        def chosen(name, alpha):
            return choose(name, group, torch.zeros(len(alpha), 32), Weights(alpha))

        assert chosen(AUTO, one) is single
        assert chosen(AUTO, torch.full((1, 3), 0.3)) is stacked
        assert chosen(AUTO, one.expand(8, 3)) is stacked
        assert chosen(AUTO, many) is stacked, "a third of the experts is not few"
        assert chosen(AUTO, four) is grouped
        assert chosen("single", many) is stacked, "single cannot do this"
        assert chosen("grouped", one) is grouped
        with torch.enable_grad():
            assert chosen("grouped", many) is stacked


def test_unknown_kernels_are_refused(llama, llama_experts):
    with pytest.raises(UnknownNameError, match="no kernel named 'stakked'; did you mean 'stacked'"):
        routed(llama, llama_experts, "stakked")
    assert not hasattr(llama, "mixture")


def test_weights_for_other_tokens_are_refused(llama, llama_experts):
    weights = weights_of("top1", 2, 10)
    with (
        attach(llama, Given(Imposed(weights)), refer(llama_experts), llama_experts),
        pytest.raises(CompositionError, match="22 tokens of the 20"),
        torch.no_grad(),
    ):
        logits(llama, tokens())


# --- compilation ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("of", ["llama", "gpt2"])
def test_compiles_without_graph_breaks(of, written):
    model, experts, ids = tiny_model(of), written(mixed_experts, of), tokens()
    with routed(model, experts, "stacked"):
        expected = logits(model, ids, use_cache=False)
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_close(logits(compiled, ids, use_cache=False), expected)
