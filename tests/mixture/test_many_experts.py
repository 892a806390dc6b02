"""A thousand experts of which few are in memory: what is there, and that the others are missed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import factors_of, write_factors
from selfmoe.mixture.forward.shelf import Files
from selfmoe.mixture.loading import load_mixture
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.saving import save_mixture
from selfmoe.mixture.storage import references
from selfmoe.mixture.trainable import deltas_of
from selfmoe.testing.compare import assert_close
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import random_adapter
from selfmoe.testing.routing import logits, refer, tokens
from selfmoe_router_retrieval import Retrieval

N, LIVE, M = 1024, 8, 4
BLOCKS, WIDTH = 3, 32


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """Return a thousand experts of rank 2, each with numbers of its own."""
    folder = tmp_path_factory.mktemp("experts")
    first = random_adapter(tiny_model("llama"), folder / "e0", r=2, targets=["q_proj", "down_proj"])
    like, experts = factors_of(Expert("e0", first)), {"e0": Expert("e0", first)}
    generator = torch.Generator().manual_seed(1)
    for i in range(1, N):
        other = {
            site: part._replace(a=torch.randn(part.a.shape, generator=generator) * 0.15)
            for site, part in like.items()
        }
        experts[f"e{i}"] = Expert(f"e{i}", write_factors(folder / f"e{i}", other, like=first))
    return experts


@pytest.fixture(scope="module")
def centroids():
    generator = torch.Generator().manual_seed(2)
    return {
        "prompts": torch.randn(N, WIDTH, generator=generator),
        "tokens": torch.randn(N, BLOCKS, WIDTH, generator=generator),
    }


def composed(experts, tensors, **options):
    """Return the router, and a composition of some experts with these centroids."""
    composer = Retrieval(Retrieval.Config(**{"m": M, "weight": "one"} | options))
    chosen = composer.options.model_dump(mode="json")
    return composer, refer(experts, tensors=tensors, options=chosen)


def read(model, mixture):
    """Return the logits of two rows read in two parts, and the experts these retrieved."""
    ids, heard = tokens(2, 11), []
    watch = mixture.gate.register_forward_hook(lambda g, told, a: heard.append(told[2].candidates))
    first = model(ids[:, :7], use_cache=True)
    rest = model(ids[:, 7:], past_key_values=first.past_key_values)
    watch.remove()
    assert all(torch.equal(candidates, heard[0]) for candidates in heard)
    return torch.cat([first.logits, rest.logits], 1), sorted(set(heard[0].flatten().tolist()))


@torch.no_grad()
def test_answers_and_memory_are_those_of_the_live_ones(llama, thousand, centroids, monkeypatch):
    """A block holds as many numbers for a thousand experts as for the eight it keeps."""
    touched, real = [], Files.factors

    def factors(files, expert):
        touched.append(expert)
        found = real(files, expert)
        assert len(files._mapped) <= LIVE
        return found

    monkeypatch.setattr(Files, "factors", factors)
    with attach(llama, *composed(thousand, centroids, k=M), thousand, live=LIVE) as mixture:
        touched.clear()
        found, some = read(llama, mixture)
        assert set(touched) <= set(some)  # no other file is looked at by a forward
        touched.clear()
        assert torch.equal(read(llama, mixture)[0], found)
        assert not touched  # what was used is in memory
        assert all(mixture.gate.get_buffer(name) is t for name, t in centroids.items())
        held = sizes(llama)
    assert M < len(some) == LIVE  # the two rows have candidates of their own
    names = list(thousand)
    few = {names[i]: thousand[names[i]] for i in some}
    own = {name: tensor[some] for name, tensor in centroids.items()}
    with attach(llama, *composed(few, own, k=M), few) as mixture:
        assert_close(read(llama, mixture)[0], found)
        assert sizes(llama) == held


def sizes(model):
    """Return how many numbers the experts have in memory in each layer."""
    return {site: (delta.a.numel(), delta.b.numel()) for site, delta in deltas_of(model).items()}


def test_a_kept_mixture_is_loaded_with_as_few(llama, thousand, centroids, tmp_path):
    some = dict(list(thousand.items())[:20])
    own = {name: tensor[:20] for name, tensor in centroids.items()}
    composer, made = composed(some, own)
    made = replace(made, composer="retrieval", experts=references(some))
    ids = tokens(2, 11)
    with attach(llama, composer, made, some, live=LIVE):
        before = logits(llama, ids)
        save_mixture(llama, tmp_path / "kept")
    model = load_mixture(llama, tmp_path / "kept", live=LIVE)
    assert model.mixture.live == LIVE
    assert torch.equal(logits(model, ids), before)
    assert {delta.rank for delta in deltas_of(model).values()} == {2 * LIVE}
