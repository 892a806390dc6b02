"""What gates share, against the formula."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo, check_k
from selfmoe.kits.routers import TopKConfig, TopKGate, keep_largest, weigh_kept
from selfmoe.testing.routing import random_theta

X = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1)) * 30


def naive(theta, k, temperature=1.0):
    scaled = X / (X.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    p = torch.softmax(scaled @ theta.T / temperature, dim=-1)
    return torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_one_theta_for_all_blocks(k):
    gate = TopKGate(TopKConfig(k=k, temperature=0.5), {"theta": random_theta(3)})
    torch.testing.assert_close(gate(X, Site(7), TokenInfo()), naive(random_theta(3), k, 0.5))


def test_a_theta_for_each_block():
    thetas = torch.stack([random_theta(3), -random_theta(3)])
    gate = TopKGate(TopKConfig(k=2), {"theta": thetas})
    for block, theta in enumerate(thetas):
        torch.testing.assert_close(gate(X, Site(block), TokenInfo()), naive(theta, 2))


def test_what_stays_can_sum_to_one():
    p = torch.tensor([0.5, 0.2, 0.3])
    torch.testing.assert_close(keep_largest(p, 2), torch.tensor([0.5, 0.0, 0.3]))
    kept = keep_largest(p, 2)
    assert weigh_kept(kept, "softmax") is kept
    torch.testing.assert_close(weigh_kept(kept, "one"), torch.tensor([0.625, 0.0, 0.375]))
    assert keep_largest(p, 9) is p


def test_of_two_that_are_largest_the_first_stays():
    p = torch.tensor([[0.2, 0.4, 0.4], [0.5, 0.0, 0.5]])
    assert keep_largest(p, 1).tolist() == torch.tensor([[0, 0.4, 0], [0.5, 0, 0]]).tolist()


def test_k_beyond_the_experts():
    assert check_k(2, 2) is None
    assert check_k(2, 1) == "k = 2 of only 1 expert; choose k from 1 to 1"
