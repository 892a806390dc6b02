"""The gate of a few tokens without the native operator, and what is read of few weights."""

from __future__ import annotations

import importlib

import pytest
import torch

from selfmoe.kits.routers import keep_largest, weigh_kept
from selfmoe.kits.routers.gates import unit_logits
from selfmoe.mixture.forward.kernels import weights as looked
from selfmoe.mixture.forward.kernels.native import choosing
from selfmoe.mixture.forward.kernels.native.library import Native
from selfmoe.mixture.forward.kernels.weights import Weights


@pytest.fixture(autouse=True)
def _without_the_operator(monkeypatch):
    monkeypatch.setattr(choosing, "native", lambda: Native(None, "left out"))


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("width", [45, 64])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (7, 3), (5, 9), (64, 2)])
def test_it_is_the_formula(n, k, width, one, temperature):
    generator = torch.Generator().manual_seed(n)
    theta = torch.randn(n, width, generator=generator)
    x = torch.randn(3, 4, width, generator=generator) * 5
    kept = keep_largest(torch.softmax(unit_logits(theta, x) / temperature, -1), k)
    expected = weigh_kept(kept, "one" if one else "softmax")
    found = choosing.largest(theta, x, k, temperature, one=one)
    assert found is not None
    assert torch.equal(found != 0, expected != 0)
    assert (found - expected).abs().max() <= 1e-6


@torch.no_grad()
def test_what_it_reads_is_left_as_it_was():
    theta, x = torch.randn(4, 8), torch.randn(2, 1, 8)
    before = theta.clone(), x.clone()
    choosing.largest(theta, x, 2, 0.5, one=True)
    assert torch.equal(theta, before[0])
    assert torch.equal(x, before[1])


def test_a_network_that_learns_is_left_to_the_gate():
    assert choosing.largest(torch.ones(2, 6), torch.ones(1, 1, 6), 1, 1.0, one=False) is None


@pytest.mark.parametrize("few", [0, 512])
def test_few_weights_and_many_are_read_alike(few, monkeypatch):
    monkeypatch.setattr(looked, "FEW", few)
    alpha = torch.tensor([[[0.0, 0.25, 0.5]], [[0.0, 0.0, 0.0]], [[-0.5, 0.0, 1.0]]])
    assert Weights(alpha).active() == [(0, 1, 0.25), (0, 2, 0.5), (2, 0, -0.5), (2, 2, 1.0)]


def test_it_computes_where_it_was_imported_for_another_device(monkeypatch):
    with torch.device("meta"):
        importlib.reload(choosing)
    monkeypatch.setattr(choosing, "native", lambda: Native(None, "left out"))
    with torch.no_grad():
        found = choosing.largest(torch.ones(2, 6), torch.ones(1, 1, 6), 1, 1.0, one=False)
    assert found is not None
    assert found.flatten().tolist() == [0.5, 0]
