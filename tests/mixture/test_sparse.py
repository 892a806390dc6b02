"""Routers and merges on sparse bases and their kin: cached as uncached, recorded, gone again."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.records import Expert, LoadedBase
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.sites.coverage import coverage_of
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import assert_close, logits, with_deltas
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_tokenizer
from selfmoe.testing.sparse import SPARSE

BRIEF = {"max_steps": 1, "batch_size": 2}
COMPOSERS = [
    ("router", "topk", BRIEF),
    ("router", "topk", {**BRIEF, "inputs": "per_linear"}),
    ("router", "xlora", BRIEF),
    ("router", "sequence", {**BRIEF, "inputs": "base"}),
    ("merge", "ties", {}),
]


def experts_on(model, folder):
    """Return two experts on all linears that a router can weigh."""
    names = coverage_of(LoadedBase("tiny", model, None, "", 512)).routed
    kind = type(model.config).model_type
    model.config.model_type = "as it is"  # PEFT takes names of some linears for stacked weights
    try:
        return {
            name: Expert(name, random_adapter(model, folder / name, r=2, targets=names, seed=seed))
            for seed, name in enumerate(("math", "coding"))
        }
    finally:
        del model.config.model_type
        assert model.config.model_type == kind


def read_in_pieces(model, ids):
    """Return the logits of a prompt and of two steps that read the past from a cache."""
    output = model(input_ids=ids[:, :5], use_cache=True)
    found = [output.logits]
    for place in (5, 6):
        past = {n: output[n] for n in ("past_key_values", "cache") if output.get(n) is not None}
        output = model(input_ids=ids[:, place : place + 1], use_cache=True, **past)
        found.append(output.logits)
    return torch.cat(found, 1)


@pytest.mark.parametrize("family", SPARSE)
def test_routers_and_merges(family, tmp_path):
    model = tiny_model(family)
    base = LoadedBase("tiny", model, tiny_tokenizer(), "tiny", 512)
    experts, ids = experts_on(model, tmp_path), torch.arange(14).view(2, 7) + 60
    plain = logits(model, ids)
    for number, (kind, name, options) in enumerate(COMPOSERS):
        composer = registry().configure(kind, name, options)
        folder = tmp_path / f"{number}"
        made = composer.compose(
            ComposeContext(base, experts, tiny_examples(4), None, Fit(), 0, folder, reference)
        )
        with attach(model, composer, made, experts) as mixture, torch.no_grad():
            check(model, mixture, ids, plain)
        assert torch.equal(logits(model, ids), plain), name


def check(model, mixture, ids, plain):
    prompt = torch.ones(2, 5, dtype=torch.bool)
    with mixture.annotate(prompt_mask=prompt):
        whole = logits(model, ids)
        assert not torch.equal(whole, plain)
        assert_close(read_in_pieces(model, ids), whole, 1e-4)
        if mixture.gate is not None:
            with mixture.record(trace=True) as record:
                logits(model, ids)
            assert sum(record.shares().values()) == pytest.approx(1, abs=1e-4)
            assert record.traces[0].weights.shape[:2] == ids.shape


@torch.no_grad()
@pytest.mark.parametrize("family", SPARSE)
def test_experts_by_halves_are_their_deltas_by_halves(family, tmp_path):
    model = tiny_model(family)
    experts, ids = experts_on(model, tmp_path), torch.arange(14).view(2, 7) + 60
    base = LoadedBase("tiny", model, tiny_tokenizer(), "tiny", 512)
    composer = registry().configure("router", "uniform", {})
    made = composer.compose(ComposeContext(base, experts, (), None, Fit(), 0, tmp_path, reference))
    expected = with_deltas(model, *(factors_of(expert) for expert in experts.values()), weight=0.5)
    with attach(model, composer, made, experts):
        assert_close(logits(model, ids), logits(expected, ids), 1e-4)
