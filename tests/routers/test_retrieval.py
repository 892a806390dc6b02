"""Routing at two levels: what is retrieved, who weighs what, and experts that join."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, ConfigError, StageError
from selfmoe.contracts.records import Example
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import read_composition, write_composition
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import find_decoder, linears
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import assert_close, assert_same
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import logits
from selfmoe_router_retrieval import Retrieval
from selfmoe_router_retrieval.gate import RetrievalGate

NAMES = ("0", "mlp", "math-v2")  # of the mixed experts
INPUTS = ("embedding", "base")


def router(**options):
    return Retrieval(Retrieval.Config(**options))


class TestContract(ComposerContract):
    @pytest.fixture(
        params=[
            {},
            {"m": 1, "inputs": "base"},
            {"m": 2, "k": 2, "weight": "one", "inputs": "base", "temperature": 1.0},
        ]
    )
    def composer(self, request):
        return router(**request.param)


@pytest.fixture
def changes(unlike_prompts):
    return {"data": unlike_prompts}


# --- the definition, one example and one token at a time ------------------------------------------


def unit(x):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


@torch.no_grad()
def states(ctx, ids):
    """Return what enters each block when the base reads tokens, and its final states, float64."""
    seen = ctx.base.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return [x[0].double() for x in seen]


def naive_centroids(ctx, inputs):
    """Return the centroids of prompts and of tokens by expert."""
    prompts, tokens = [], []
    for name in ctx.experts:
        means, entered = [], []
        for example in ctx.data:
            if example.domain == name:
                row = encode(example, ctx.base.tokenizer)
                seen = states(ctx, row.ids)
                read = seen[0 if inputs == "embedding" else -1]
                means.append(unit(read[: row.prompt].mean(0)))
                entered.append(torch.stack(seen[:-1])[:, row.prompt :])
        prompts.append(torch.stack(means).mean(0))
        tokens.append(unit(torch.cat(entered, 1)).mean(1))
    return torch.stack(prompts), torch.stack(tokens)


def naive_alpha(made, retrieved, k, weight, temperature=0.01):
    """Return the second level as it is defined, for one row whose candidates are known."""

    def alpha(block, x):
        found = torch.zeros(*x.shape[:2], len(made.experts))
        for place, h in enumerate(unit(x[0].double())):
            apart = (h - made.tensors["tokens"][retrieved, block].double()).pow(2).mean(-1)
            p = torch.softmax(-apart / 2 / temperature, 0)
            best = p.topk(k)
            scale = best.values.sum() if weight == "one" else 1.0
            for expert, value in zip(best.indices, best.values, strict=True):
                found[0, place, retrieved[expert]] = value / scale
        return found

    return alpha


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_centroids_are_means_of_what_the_base_makes_of_the_examples(context, inputs, batch_size):
    prompts, tokens = naive_centroids(context, inputs)
    made = router(inputs=inputs, batch_size=batch_size).compose(context)
    assert_close(made.tensors["prompts"], prompts)
    assert_close(made.tensors["tokens"], tokens)


@torch.no_grad()
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize(("m", "k", "weight"), [(1, 1, "softmax"), (2, 1, "one"), (2, 2, "one")])
def test_equals_the_definition_on_every_row(context, inputs, m, k, weight):
    composer = router(inputs=inputs, m=m, k=k, weight=weight)
    made, model = composer.compose(context), context.base.model
    decoder = find_decoder(model)
    parts = [factors_of(expert) for expert in context.experts.values()]
    rows = [encode(e, context.base.tokenizer) for e in context.data[:4]]
    seen = set()
    for row in rows:
        read = states(context, row.ids)[0 if inputs == "embedding" else -1]
        apart = (unit(read[: row.prompt].mean(0)) - made.tensors["prompts"].double()).norm(dim=-1)
        retrieved = apart.argsort()[:m]
        seen.add(tuple(retrieved.tolist()))
        ids, prompt = torch.tensor([row.ids]), torch.arange(len(row.ids))[None] < row.prompt
        gate = naive_alpha(made, retrieved, k, weight)
        with naive_mixture(list(decoder.blocks), linears(model), parts, gate, decoder.path):
            expected = logits(model, ids)
        with attach(model, composer, made, context.experts) as mixture:
            with mixture.annotate(prompt_mask=prompt):
                assert_close(logits(model, ids), expected)
            first = model(ids[:, : row.prompt], use_cache=True)
            rest = model(ids[:, row.prompt :], past_key_values=first.past_key_values)
            assert_close(torch.cat([first.logits, rest.logits], 1), expected)
    assert len(seen) > 1


def gate(n=5, blocks=3, **options):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "prompts": torch.randn(n, 8, generator=generator),
        "tokens": torch.randn(n, blocks, 8, generator=generator),
    }
    return RetrievalGate(Retrieval.Config(**options), tensors)


X = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)) * 30


def test_rows_have_candidates_of_their_own_and_padding_is_no_part_of_them():
    finds = gate(m=2)
    padding = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    both = finds.retrieve(X, TokenInfo(attention_mask=padding))
    assert both.shape == (2, 2)
    assert torch.equal(both[:1], finds.retrieve(X[:1, 2:], TokenInfo()))
    assert torch.equal(both[1:], finds.retrieve(X[1:], TokenInfo()))
    assert not torch.equal(both[0], both[1])


def test_only_candidates_weigh_and_more_than_there_are_is_all():
    some = torch.tensor([[4, 1], [0, 2]])
    alpha = gate(m=2, k=2)(X, Site(1), TokenInfo(candidates=some))
    used = [set(row.nonzero()[:, 1].tolist()) for row in alpha]
    assert used == [{1, 4}, {0, 2}]
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 6))
    assert sorted(gate(m=9).retrieve(X, TokenInfo())[0].tolist()) == list(range(5))


def test_the_gate_holds_on_to_the_tensors_it_is_given():
    tensors = {"prompts": torch.randn(2, 8), "tokens": torch.randn(2, 3, 8)}
    found = RetrievalGate(Retrieval.Config(), tensors)
    assert found.prompts is tensors["prompts"]
    assert found.tokens is tensors["tokens"]


# --- experts that join ----------------------------------------------------------------------------


@pytest.fixture
def before(llama):
    some = {name: llama.experts[name] for name in NAMES[:2]}
    own = [example for example in llama.data if example.domain in some]
    return router().compose(llama._replace(experts=some, data=own))


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1], (NAMES[1], NAMES[0], NAMES[2])])
def test_added_one_by_one_they_have_the_bits_of_all_at_once(llama, order):
    every, known, made = llama._replace(experts={n: llama.experts[n] for n in order}), {}, None
    for name in order:
        known[name] = llama.experts[name]
        own = [example for example in llama.data if example.domain == name]
        now = llama._replace(experts=dict(known), data=own)
        made = router().extend(made, now) if made else router().compose(now)
    fresh = router().compose(every)
    for name, tensor in fresh.tensors.items():
        assert torch.equal(made.tensors[name], tensor)
    assert made.report == fresh.report


def test_extending_keeps_what_was_there_and_reads_only_what_is_new(llama, before):
    seen = []
    watched = llama._replace(fit=Fit(lambda done, total, text: seen.append((done, total))))
    after = router().extend(before, watched)
    assert seen == [(3, 3)]
    for name, old in before.tensors.items():
        assert torch.equal(after.tensors[name][:2], old)


def test_what_was_saved_is_extended_like_what_was_not(llama, before, tmp_path):
    write_composition(before, tmp_path / "saved", base_hash="tiny")
    some = {name: llama.experts[name] for name in NAMES[:2]}
    loaded = read_composition(tmp_path / "saved", base_hash="tiny", experts=some)
    assert_same(router().extend(loaded, llama), router().compose(llama))


def test_other_options_are_refused(llama, before):
    with pytest.raises(CompositionError, match=r"with other options \(inputs\)"):
        router(inputs="base").extend(before, llama)


# --- refusals -------------------------------------------------------------------------------------


def test_more_experts_a_token_than_are_retrieved():
    with pytest.raises(ConfigError, match="k = 3 of only m = 2 retrieved; k is at most m"):
        registry().configure("router", "retrieval", {"m": 2, "k": 3})


def test_an_expert_without_data(llama):
    some = [example for example in llama.data if example.domain != "mlp"]
    with pytest.raises(CompositionError, match="there are none for mlp"):
        router().compose(llama._replace(data=some))


def test_data_of_no_expert_is_counted_and_left_out(llama):
    made = router().compose(llama._replace(data=[Example("x", "law", "a", "", "b"), *llama.data]))
    expected = router().compose(llama)
    assert made.report == {**expected.report, "ignored_examples": 1.0}
    assert torch.equal(made.tensors["tokens"], expected.tensors["tokens"])


def test_examples_beyond_the_context(llama):
    short = replace(llama.base, context=10)
    with pytest.raises(StageError, match=r"router retrieval: .* examples are longer"):
        router().compose(llama._replace(base=short))
