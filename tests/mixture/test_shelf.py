"""Experts that stay in their files: equal to all in memory, whichever come and go."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert
from selfmoe.mixture.compose import compose
from selfmoe.mixture.forward.kernels import KERNELS
from selfmoe.mixture.runtime import attach
from selfmoe.testing.composers import assert_close
from selfmoe.testing.family import LLAMA_TARGETS
from selfmoe.testing.models import random_adapter
from selfmoe.testing.routing import Given, Imposed, logits, random_theta, refer, tokens
from selfmoe_router_topk import TopK

N = 9


@pytest.fixture
def nine(llama, tmp_path):
    """Return nine experts of different ranks, some of which leave layers alone."""
    return {
        f"e{i}": Expert(
            f"e{i}",
            random_adapter(
                llama, tmp_path / f"e{i}", r=1 + i % 3, seed=i, targets=LLAMA_TARGETS[i % 2 :]
            ),
        )
        for i in range(N)
    }


def imposed(*choices: int, rows: int = 1, time: int = 1) -> list[torch.Tensor]:
    """Return the weights of forwards in each of which every token uses one expert."""
    made = []
    for expert in choices:
        alpha = torch.zeros(rows, time, N)
        alpha[..., expert] = 0.7
        made += [alpha] * 3
    return made


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_equals_all_in_memory_whichever_come_and_go(llama, nine, kernel):
    order = (0, 5, 8, 5, 1, 0, 7, 2, 8)
    found = []
    for live in (None, 2):
        gate = Given(Imposed(imposed(*order)))
        with attach(llama, gate, refer(nine), nine, kernel=kernel, live=live, check=False):
            found.append([logits(llama, tokens(1, 1)) for _ in order])
    for mine, other in zip(*found, strict=True):
        assert_close(mine, other)


@torch.no_grad()
def test_rows_of_a_batch_use_different_experts(llama, nine):
    alpha = torch.eye(N)[[3, 8, 3, 0]][:, None] * 0.6
    found = []
    for live in (None, 3):
        with attach(llama, Given(Imposed([alpha] * 3)), refer(nine), nine, live=live, check=False):
            found.append(logits(llama, tokens(4, 1)))
    assert_close(*found)


@torch.no_grad()
def test_more_than_fit_are_refused_and_the_next_forward_works(llama, nine):
    alpha = torch.eye(N)[[3, 8, 0]][:, None] * 0.6
    weights = [alpha, *imposed(4)]
    with attach(llama, Given(Imposed(weights)), refer(nine), nine, live=2, check=False):
        with pytest.raises(CompositionError, match="uses 3 experts at once and live is 2"):
            logits(llama, tokens(3, 1))
        assert torch.isfinite(logits(llama, tokens(1, 1))).all()


def test_experts_that_are_not_in_memory_are_not_trained(llama, nine):
    paths = {name: expert.path for name, expert in nine.items()}
    with pytest.raises(CompositionError, match="cannot be trained"):
        compose(llama, paths, router="uniform", trainable="experts", live=2)


def test_no_slot_is_refused(llama, nine):
    with pytest.raises(CompositionError, match="live is 0"):
        attach(llama, Given(Imposed([])), refer(nine), nine, live=0)
    assert not hasattr(llama, "mixture")


@torch.no_grad()
def test_any_router_generates_the_same_also_in_copies_and_threads(llama, nine):
    composer = TopK(TopK.Config())
    options = composer.options.model_dump(mode="json")
    made = refer(nine, tensors={"theta": random_theta(N)}, options=options)
    texts = [tokens(1, 4, seed=seed) for seed in range(3)]
    how = {"max_new_tokens": 6, "do_sample": False, "suppress_tokens": [257]}

    def written(model):
        return [model.generate(ids, attention_mask=torch.ones_like(ids), **how) for ids in texts]

    with attach(llama, composer, made, nine):
        expected = written(llama)
    with attach(llama, composer, made, nine, live=5):
        assert all(map(torch.equal, written(llama), expected))
        other = copy.deepcopy(llama)
        found: list[bool] = []

        def work() -> None:
            found.append(all(map(torch.equal, written(llama), expected)))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 3
    assert all(map(torch.equal, written(other), expected))


def test_gradients_reach_the_gate(llama, nine):
    weights = [alpha.clone().requires_grad_(True) for alpha in imposed(4, rows=2, time=11)]
    with attach(llama, Given(Imposed(weights)), refer(nine), nine, live=2, check=False):
        logits(llama, tokens()).sum().backward()
    assert all(alpha.grad is not None and alpha.grad[..., 4].abs().sum() > 0 for alpha in weights)
