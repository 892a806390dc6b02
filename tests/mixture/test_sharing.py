"""Which layers share work, which kernel is chosen, and what is asked for gradients."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.errors import CompositionError, UnknownNameError
from selfmoe.mixture.forward.kernels import (
    AUTO,
    KERNELS,
    choose_kernel,
    grouped,
    native,
    single,
    stacked,
)
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.forward.packing import pack
from selfmoe.mixture.runtime import attach
from selfmoe.testing.composers import assert_close
from selfmoe.testing.families import tiny_model
from selfmoe.testing.routing import (
    Given,
    Imposed,
    even_experts,
    logits,
    naive_topk,
    random_theta,
    random_weights,
    refer,
    tokens,
)

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
def test_layers_that_read_the_same_input_are_found(of, expected, written, routed):
    model, experts = tiny_model(of), written(even_experts, of)
    with routed(model, experts):
        found = groups_of(model)
    assert [group for group in expected if group not in found] == []
    assert all(len(group) == 1 for group in found if group not in expected)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("other", [("k_proj", "v_proj"), ("q_proj",), ("v_proj",)])
def test_layers_that_read_other_inputs_after_all_are_served(
    llama, llama_experts, kernel, other, routed
):
    attention = llama.model.layers[1].self_attn
    for ids in (tokens(), tokens(1, 1)):
        with routed(llama, llama_experts, kernel):
            handles = [
                getattr(attention, name).register_forward_pre_hook(lambda m, args: (args[0] * 1.5,))
                for name in other
            ]
            found = logits(llama, ids)
        with naive_topk(llama, llama_experts, random_theta(3), 1):
            expected = logits(llama, ids)
        for handle in handles:
            handle.remove()
        assert_close(found, expected)


def asked(monkeypatch):
    """Return all weights that are made from now on."""
    made, make = [], Weights.__init__

    def noted(self, given):
        make(self, given)
        made.append(self)

    monkeypatch.setattr(Weights, "__init__", noted)
    return made


@torch.no_grad()
@pytest.mark.parametrize("site", ["token", "block", "linear"])
def test_nothing_is_held_after_a_forward(llama, llama_experts, site, monkeypatch):
    gate = Imposed(random_weights("top1", 2, 11) * 7)
    gate.site = site
    made = asked(monkeypatch)
    with attach(llama, Given(gate), refer(llama_experts), llama_experts) as mixture:
        logits(llama, tokens())
        assert made
        assert [weights.held for weights in made if weights.held] == []
        running = mixture.running
        assert (running.scope, running.block, running.block_scope, running.weights) == (None,) * 4


@torch.no_grad()
def test_the_factors_of_a_block_lie_in_one_piece_of_memory(llama, llama_experts, routed):
    with routed(llama, llama_experts):
        for block in llama.model.layers:
            deltas = [module for module in block.modules() if isinstance(module, RoutedDelta)]
            tensors = [tensor for delta in deltas for tensor in (delta.a, delta.b)]
            (size,) = {tensor.untyped_storage().nbytes() for tensor in tensors}
            assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1
            assert size == sum(tensor.nbytes for tensor in tensors)


@torch.no_grad()
def test_factors_of_several_dtypes_stay_where_they_are(llama, llama_experts, routed):
    with routed(llama, llama_experts):
        delta = llama.model.layers[0].mlp.down_proj.selfmoe_delta
        delta.b = delta.b.double()
        before = delta.a.data_ptr(), delta.b.data_ptr()
        pack([delta.group.packed])
        assert (delta.a.data_ptr(), delta.b.data_ptr()) == before
        assert delta.b.dtype == torch.float64


@torch.no_grad()
def test_factors_that_move_with_the_model_are_shared_again(llama, llama_experts, routed):
    with routed(llama, llama_experts):
        before = logits(llama, tokens())
        found = logits(llama.double(), tokens())
        group = llama.model.layers[0].self_attn.q_proj.selfmoe_delta.group
        assert group.packed.views().a.dtype == torch.float64
        assert group.parts[0].a.data_ptr() == group.packed.views().a.data_ptr()
    assert_close(found.float(), before)


@torch.no_grad()
def test_nothing_is_held_after_a_failure(llama, llama_experts, routed, monkeypatch):
    def fail(module, args):
        raise RuntimeError("halfway")

    attention = llama.model.layers[1].self_attn
    with routed(llama, llama_experts) as mixture:
        made = asked(monkeypatch)
        attention.k_proj.register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="halfway"):
            logits(llama, tokens())
        assert len(made) == 2, "the second block had begun, and its layers that share an input"
        assert [weights.held for weights in made if weights.held] == []
        running = mixture.running
        assert (running.scope, running.block, running.block_scope, running.weights) == (None,) * 4


@torch.no_grad()
def test_experts_that_change_are_seen_by_every_kernel(llama, llama_experts, routed):
    token = tokens(1, 1)
    with routed(llama, llama_experts):
        before = logits(llama, token)  # one token: kernel single, which keeps views of factors
        logits(llama, tokens())  # kernel stacked, which moves those of a group together
        for module in llama.modules():
            if isinstance(module, RoutedDelta):
                module.a.mul_(2)
        after = logits(llama, token)
        with torch.enable_grad():
            expected = logits(llama, token).detach()
    assert not torch.allclose(after, before)
    assert_close(after, expected)


# --- choosing ---------------------------------------------------------------------------------


@torch.no_grad()
def test_kernels_are_chosen_by_shape(llama, llama_experts, routed, monkeypatch):
    monkeypatch.setattr(native, "fits", lambda group, weights: False)
    with routed(llama, llama_experts):
        group = llama.model.layers[0].self_attn.q_proj.selfmoe_delta.group
        one = torch.tensor([[0.0, 0.6, 0.0]])
        many = torch.eye(3).repeat(64, 1)
        four = torch.eye(4).repeat(64, 1)

        def chosen(name, alpha):
            return choose_kernel(name, group, Weights(alpha))

        assert chosen(AUTO, one) is single
        assert chosen(AUTO, torch.full((1, 3), 0.3)) is stacked
        assert chosen(AUTO, one.expand(8, 3)) is stacked
        assert chosen(AUTO, many) is stacked, "a third of the experts is not few"
        assert chosen(AUTO, four) is grouped
        delta = group.parts[0]
        delta.a = delta.a.bfloat16()
        assert chosen(AUTO, four) is stacked, "products of a few rows are dear in bfloat16"
        assert chosen(AUTO, torch.eye(16)[:8]) is single
        assert chosen(AUTO, torch.eye(16)[:9]) is stacked, "more than half of the experts"
        assert chosen(AUTO, torch.eye(64)[:17]) is stacked, "too many tokens"
        assert chosen("grouped", one) is grouped
        with torch.enable_grad():
            assert chosen("grouped", many) is stacked


def test_unknown_kernels_are_refused(llama, llama_experts, routed):
    with pytest.raises(UnknownNameError, match="no kernel named 'stakked'; did you mean 'stacked'"):
        routed(llama, llama_experts, "stakked")
    assert not hasattr(llama, "mixture")


def test_weights_for_other_tokens_are_refused(llama, llama_experts):
    weights = random_weights("top1", 2, 10)
    with (
        attach(llama, Given(Imposed(weights)), refer(llama_experts), llama_experts),
        pytest.raises(CompositionError, match="22 tokens of the 20"),
        torch.no_grad(),
    ):
        logits(llama, tokens())


# --- gradients --------------------------------------------------------------------------------


def gradients(mixture, model, train=()):
    """Return the gradients of θ and of the experts' factors whose names are given."""
    with mixture:
        deltas = [m for m in model.modules() if isinstance(m, RoutedDelta)]
        wanted = [getattr(d, name).requires_grad_(True) for d in deltas for name in train]
        wanted += list(mixture.gate.requires_grad_(True).parameters())
        logits(model, tokens(), use_cache=False).float().logsumexp(-1).mean().backward()
        return [tensor.grad.clone() for tensor in wanted]


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_do_not_depend_on_the_kernel(model, mixed, kernel, routed):
    theta = random_theta(3).requires_grad_(True)
    with naive_topk(model, mixed, theta, 1):
        logits(model, tokens(), use_cache=False).float().logsumexp(-1).mean().backward()
    (found,) = gradients(routed(model, mixed, kernel, theta=theta), model)
    assert_close(found, theta.grad)


@pytest.mark.parametrize("train", [("a", "b"), ("b",)])
def test_experts_can_be_trained(model, mixed, train, routed):
    """Their gradients are the slopes of the loss; those of the gate stay what they are."""
    theta = random_theta(3)
    plain = gradients(routed(model, mixed, theta=theta), model)
    found = gradients(routed(model, mixed, theta=theta), model, train)
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
