"""The router's gradient: that of the naive formula, with and without checkpointing."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import model_hash
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.composers import assert_close
from selfmoe.testing.routing import logits, naive_topk, random_theta, random_thetas, refer, tokens
from selfmoe_router_topk import TopK

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
]


@contextmanager
def checkpointed(model, reentrant):
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    yield
    model.gradient_checkpointing_disable()
    model.disable_input_require_grads()
    model.eval()


def loss_of(model, seed):
    return logits(model, tokens(seed=seed), use_cache=False).float().logsumexp(-1).mean()


def theta_gradient(model, experts, inputs, forwards=1):
    """Return θ's gradient of losses of several forwards, all made before the backward."""
    composer = TopK(TopK.Config(inputs=inputs))
    chosen = composer.options.model_dump(mode="json")
    made = refer(experts, tensors=random_thetas(experts, inputs), options=chosen)
    with attach(model, composer, made, experts) as mixture:
        parameters = list(mixture.gate.requires_grad_(True).parameters())
        with mixture.record() as record:
            losses = [loss_of(model, seed) for seed in range(forwards)]
            with torch.no_grad():  # another forward in between must not be mistaken for theirs
                logits(model, tokens(1, 3, seed=9), use_cache=False)
            sum(losses).backward()
        assert record.tokens() % (22 * forwards + 3) == 0, "recomputed tokens were recorded"
        return [p.grad for p in parameters]


def test_router_gradient_is_that_of_the_naive_formula(model, experts):
    theta = random_theta(3).requires_grad_(True)
    with naive_topk(model, experts, theta, 1):
        loss_of(model, 0).backward()
    assert theta.grad.abs().max() > 1e-4
    (gradient,) = theta_gradient(model, experts, "block_input")
    assert_close(gradient, theta.grad)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_same_gradient(model, experts, reentrant):
    before = model_hash(model)
    compare_gradients(model, experts, "block_input", reentrant)
    assert model_hash(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_routers_learn_with_checkpointing_and_without_dropout(model, experts):
    """What routers use: only the blocks are in training mode, and they are run again."""
    theta_gradient(model, experts, "block_input")  # what attaching examines, it examines once
    runs = []
    for block in find_decoder(model).blocks:
        linear = next(iter(linears(block).values()))
        linear.register_forward_hook(lambda module, args, output: runs.append(module))
    plain, once = theta_gradient(model, experts, "block_input"), len(runs)
    with checkpointing(model):
        again = theta_gradient(model, experts, "block_input")
    assert len(runs) - once == once + 3, "3 blocks were to be run again"
    assert not any(module.training for module in model.modules())
    assert_close(again[0], plain[0])


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("inputs", ["embedding", "per_width"])
def test_checkpointing_serves_gates_at_all_sites(llama, llama_experts, inputs, reentrant):
    compare_gradients(llama, llama_experts, inputs, reentrant)


def compare_gradients(model, experts, inputs, reentrant):
    """Check that gradients with checkpointing are those without."""
    for module in model.modules():  # training mode would switch dropout on
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    plain = theta_gradient(model, experts, inputs, forwards=2)
    with checkpointed(model, reentrant):
        again = theta_gradient(model, experts, inputs, forwards=2)
    for a, b in zip(again, plain, strict=True):
        assert b.abs().max() > 0
        assert_close(a, b)
