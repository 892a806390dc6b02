"""The native operator: what it is equal to, when it is left alone, how it is built and missed."""

from __future__ import annotations

import copy
import gc
import itertools
import shutil
import subprocess
import weakref
from pathlib import Path

import pytest
import torch

from selfmoe.contracts.records import Expert
from selfmoe.kits.routers.gates import keep_largest, unit_logits, weigh_kept
from selfmoe.mixture.forward.kernels import KERNELS, native, stacked
from selfmoe.mixture.forward.kernels.native import library
from selfmoe.mixture.forward.kernels.native.choosing import FEW, largest
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.runtime import attach
from selfmoe.testing.composers import assert_close
from selfmoe.testing.models import random_adapter, tiny_llama
from selfmoe.testing.routing import (
    WEIGHTS,
    Constant,
    Given,
    Imposed,
    logits,
    random_weights,
    refer,
    tokens,
)

built = pytest.mark.skipif(library.native().library is None, reason="no C compiler")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Look for the operator anew, in an empty cache."""
    monkeypatch.setenv("SELFMOE_CACHE", str(tmp_path))
    library.native.cache_clear()
    yield tmp_path / "native"
    library.native.cache_clear()


def some_experts(model, folder: Path, ranks) -> dict[str, Expert]:
    return {
        f"e{i}": Expert(f"e{i}", random_adapter(model, folder / f"e{i}", r=rank, seed=i))
        for i, rank in enumerate(ranks)
    }


# --- equal to torch -----------------------------------------------------------------------------


@built
@torch.no_grad()
@pytest.mark.parametrize("hidden", [32, 36, 80])
def test_every_layer_equals_torch_to_a_millionth(tmp_path, hidden):
    """Ranks and widths that leave a rest whatever is computed at once, and any number of tokens."""
    model = tiny_llama(hidden_size=hidden, intermediate_size=hidden + 17, head_dim=8)
    experts = some_experts(model, tmp_path, (1, 2, 3, 8, 9, 16))
    with attach(model, Given(Constant(torch.zeros(6))), refer(experts), experts):
        groups = {m.group for m in model.modules() if isinstance(m, RoutedDelta)}
        for group in groups:
            for kind, tokens in itertools.product(WEIGHTS, (1, 3, 8, 74)):
                x = torch.randn(tokens, group.parts[0].widths[0])
                weights = Weights(random_weights(kind, 1, tokens, n=6)[0])
                expected, found = stacked.run(group, x, weights), native.run(group, x, weights)
                for mine, other in zip(found, expected, strict=True):
                    assert (mine - other).norm() <= 1e-6 * other.norm()


@built
@torch.no_grad()
@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (7, 3), (5, 9), (64, 2)])
def test_the_gate_equals_that_of_torch(one, n, k):
    generator = torch.Generator().manual_seed(n)
    theta = torch.randn(n, 45, generator=generator)
    x = torch.randn(3, 4, 45, generator=generator) * 5
    kept = keep_largest(torch.softmax(unit_logits(theta, x) / 0.7, -1), k)
    expected = weigh_kept(kept, "one" if one else "softmax")
    found = largest(theta, x, k, 0.7, one=one)
    assert found is not None
    assert torch.equal(found != 0, expected != 0)
    assert (found - expected).abs().max() <= 1e-6


@built
@torch.no_grad()
def test_of_two_alike_the_first_is_chosen():
    found = largest(torch.zeros(4, 6), torch.ones(1, 1, 6), 1, 1.0, one=False)
    assert found is not None
    assert found.flatten().tolist() == [0.25, 0, 0, 0]


@built
@torch.no_grad()
@pytest.mark.parametrize("one", [True, False])
def test_what_is_no_number_stays_none(one):
    theta = torch.ones(4, 6)
    theta[2, 3] = torch.nan
    found = largest(theta, torch.ones(1, 2, 6), 1, 1.0, one=one)
    assert found is not None
    assert found.isnan().all()


# --- left alone ---------------------------------------------------------------------------------


@built
def test_gradients_autocast_many_tokens_and_other_formats_are_left_to_torch():
    theta, x = torch.ones(2, 6), torch.ones(1, 1, 6)
    many = torch.ones(1, FEW + 1, 6)
    assert largest(theta, x, 1, 1.0, one=False) is None
    with torch.no_grad():
        assert largest(theta, x, 1, 1.0, one=False) is not None
        assert largest(theta, many, 1, 1.0, one=False) is None
        assert largest(theta.bfloat16(), x.bfloat16(), 1, 1.0, one=False) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert largest(theta, x, 1, 1.0, one=False) is None


def test_with_gradients_stacked_computes(llama, llama_experts, monkeypatch):
    used = []
    monkeypatch.setattr(stacked, "run", lambda *a, run=stacked.run: used.append(1) or run(*a))
    monkeypatch.setattr(native, "run", lambda *a: pytest.fail("no gradient would flow"))
    weights = random_weights("top1", 2, 11)
    gate = Given(Imposed(weights))
    with attach(llama, gate, refer(llama_experts), llama_experts, kernel="native", check=False):
        logits(llama, tokens())
    assert used


@built
@torch.no_grad()
def test_copies_and_moved_factors_are_found_anew(llama, llama_experts, routed):
    ids = tokens(3, 1)
    with routed(llama, llama_experts, "native"):
        expected = logits(llama, ids)
        other = copy.deepcopy(llama)
        llama.share_memory()
        assert torch.equal(logits(llama, ids), expected)
    del llama
    assert torch.equal(logits(other, ids), expected)


@built
@torch.no_grad()
@pytest.mark.parametrize("which", ["ab", "a", "b"])
def test_factors_of_another_format_are_left_to_torch(llama, llama_experts, routed, which):
    with routed(llama, llama_experts, "native"):
        before = logits(llama, tokens(3, 1))
        delta = next(m for m in llama.modules() if isinstance(m, RoutedDelta))
        for name in which:
            setattr(delta, name, getattr(delta, name).double())
        after = logits(llama, tokens(3, 1))
        assert "native" not in delta.group.packed.made()
    assert_close(after, before)


@built
@torch.no_grad()
def test_factors_that_are_replaced_are_let_go(llama, llama_experts, routed):
    with routed(llama, llama_experts, "native"):
        logits(llama, tokens(3, 1))
        delta = next(m for m in llama.modules() if isinstance(m, RoutedDelta))
        assert delta.group.packed.made()
        before = weakref.ref(delta.a)
        llama.double()
        logits(llama, tokens(3, 1))
        gc.collect()
        assert before() is None


# --- built and missed ---------------------------------------------------------------------------


@built
def test_it_is_built_once_and_kept(fresh, monkeypatch):
    first = library.native()
    assert [str(path) for path in fresh.glob("*.so")] == [first.found]
    library.native.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("built again"))
    assert library.native().found == first.found


@pytest.mark.parametrize(("change", "said"), [
    (lambda m: m.setattr(shutil, "which", lambda name: None), "no C compiler was found"),
    (lambda m: m.setenv("SELFMOE_NATIVE", "0"), "switched off"),
    (lambda m: m.setenv("CC", "false"), "could not build it"),
])  # fmt: skip
def test_without_it_torch_computes(fresh, monkeypatch, llama, llama_experts, routed, change, said):
    with torch.no_grad(), routed(llama, llama_experts, "stacked"):
        expected = logits(llama, tokens())
    change(monkeypatch)
    library.native.cache_clear()
    assert said in library.native().found
    with torch.no_grad():
        found = largest(torch.ones(2, 6), torch.ones(1, 1, 6), 1, 1.0, one=False)
        assert found is not None
        assert found.flatten().tolist() == [0.5, 0]
        with routed(llama, llama_experts, "native"):
            assert_close(logits(llama, tokens()), expected)


def test_it_is_chosen_for_few_tokens_and_where_most_experts_are_not_used(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    make = Weights
    assert native.pays(None, make(torch.ones(8, 1, 4)))
    assert not native.pays(None, make(torch.ones(1, 100, 4)))
    assert native.pays(None, make(torch.eye(4).repeat(25, 1)[None]))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert not native.pays(None, make(torch.eye(4).repeat(25, 1)[None]))


def test_it_comes_first():
    assert next(iter(KERNELS)) == "native"
