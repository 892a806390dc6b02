"""Routing by sequence without training: θ from statistics of prompts, and experts that join."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, StageError
from selfmoe.contracts.records import Example
from selfmoe.mixture.runtime import attach, attach_expert
from selfmoe.mixture.storage import read_composition, write_composition
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close, assert_same
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.routing import logits
from selfmoe_router_sequence import Sequence

NAMES = ("0", "mlp", "math-v2")  # of the mixed experts
WORDS = {"0": "abcab", "mlp": "pqrpq", "math-v2": "01201"}
FITS = ("ridge", "centroid")
INPUTS = ("embedding", "base")


class TestContract(ComposerContract):
    @pytest.fixture(
        params=[
            {"fit": "ridge"},
            {"fit": "ridge", "inputs": "base", "k": 2, "weight": "one"},
            {"fit": "centroid", "inputs": "base"},
        ]
    )
    def composer(self, request):
        return Sequence(Sequence.Config(**request.param))


@pytest.fixture
def changes(unlike_prompts):
    return {"data": unlike_prompts}


def router(fit, **options):
    return Sequence(Sequence.Config(fit=fit, **options))


def prompt_means(ctx, inputs):
    """Return x̂ of every prompt by numpy, one at a time, and the place of its expert."""
    rows = []
    for example in ctx.data:
        row = encode(example, ctx.base.tokenizer)
        ids = torch.tensor([row.ids[: row.prompt]])
        seen = ctx.base.model(input_ids=ids, output_hidden_states=True).hidden_states
        mean = seen[0 if inputs == "embedding" else -1][0].double().mean(0).detach().numpy()
        rows.append(mean / np.sqrt((mean**2).mean() + 1e-6))
    return np.stack(rows), np.array([list(ctx.experts).index(e.domain) for e in ctx.data])


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_ridge_is_the_closed_form(context, inputs, batch_size):
    x, labels = prompt_means(context, inputs)
    y = np.eye(3)[labels]
    expected = np.linalg.solve(x.T @ x + 0.7 * np.eye(x.shape[1]), x.T @ y).T
    made = router("ridge", inputs=inputs, ridge=0.7, batch_size=batch_size).compose(context)
    assert_close(made.tensors["theta"].double(), torch.from_numpy(expected))


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_centroid_is_the_direction_of_the_mean(context, inputs):
    x, labels = prompt_means(context, inputs)
    gate = router("centroid", inputs=inputs, temperature=1.0)
    made = gate.compose(context)
    means = np.stack([x[labels == place].mean(0) for place in range(3)])
    cosines = (x @ means.T) / np.linalg.norm(means, axis=1) / np.sqrt(x.shape[1])
    found = torch.from_numpy(x) @ made.tensors["theta"].double().T
    torch.testing.assert_close(found, torch.from_numpy(cosines), rtol=1e-5, atol=1e-5)


def test_it_says_that_it_was_not_trained(llama):
    for fit in FITS:
        report = router(fit).compose(llama).report
        assert report["prompts"] == 9
        assert report["added_parameters"] == 3 * 32
        assert not {"steps", "first_loss", "last_loss"} & set(report)


def told(answers):
    return [Example(name, name, word * 2, "", "ok") for name, word in answers.items()]


@torch.no_grad()
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("inputs", INPUTS)
def test_the_expert_of_a_prompt_like_its_own_plays_alone(llama, fit, inputs):
    """At weight one the logits are those of that expert, also where the answer is read along."""
    chooses = router(fit, inputs=inputs, weight="one")
    made = chooses.compose(llama._replace(data=told(WORDS)))
    model = llama.base.model
    for name, word in WORDS.items():
        row = encode(Example("new", name, word[1:] * 2, "", "yes"), llama.base.tokenizer)
        ids, prompt = torch.tensor([row.ids]), torch.arange(len(row.ids))[None] < row.prompt
        with attach_expert(model, llama.experts[name]):
            alone = logits(model, ids)
        with attach(model, chooses, made, llama.experts) as mixture:
            with mixture.annotate(prompt_mask=prompt):
                assert_close(logits(model, ids), alone)
            first = model(ids[:, : row.prompt], use_cache=True)
            assert_close(first.logits, alone[:, : row.prompt])
            rest = model(ids[:, row.prompt :], past_key_values=first.past_key_values)
            assert_close(rest.logits, alone[:, row.prompt :])


def test_the_answers_do_not_matter(llama):
    for fit in FITS:
        other = [replace(example, response="something else") for example in llama.data]
        made = [router(fit).compose(llama._replace(data=data)) for data in (llama.data, other)]
        assert_same(*made)


def test_the_default_temperature_is_that_of_the_fit(llama):
    x = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    for fit, temperature in (("learned", 1.0), ("ridge", 0.1), ("centroid", 0.01)):
        tensors = {"theta": torch.randn(3, 32, generator=torch.Generator().manual_seed(1)) / 32}
        gates = [
            router(fit, temperature=t, k=3).gate_of(
                Sequence.Config(fit=fit, temperature=t, k=3), tensors
            )
            for t in (None, temperature)
        ]
        assert torch.equal(*(gate(x, Site(0), TokenInfo()) for gate in gates))


# --- experts that join ------------------------------------------------------------------------


def joined(ctx, made_by, order, step):
    """Return what comes of adding experts in an order, some at a time, with no data but theirs."""
    made, known = None, {}
    for first in range(0, len(order), step):
        new = order[first : first + step]
        known |= {name: ctx.experts[name] for name in new}
        own = ctx._replace(experts=dict(known), data=[e for e in ctx.data if e.domain in new])
        made = made_by.extend(made, own) if made else made_by.compose(own)
    return made


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("inputs", INPUTS)
def test_added_in_any_order_they_have_the_bits_of_all_at_once(llama, fit, inputs):
    adds = router(fit, inputs=inputs, batch_size=2)
    fresh = adds.compose(llama)
    rows = dict(zip(NAMES, fresh.tensors["theta"], strict=True))
    for order in permutations(NAMES):
        for step in (1, 2):
            made = joined(llama, adds, order, step)
            assert [ref.name for ref in made.experts] == list(order)
            for name, row in zip(order, made.tensors["theta"], strict=True):
                assert torch.equal(row, rows[name])
            assert made.report == fresh.report
            if fit == "ridge":
                assert torch.equal(made.tensors["squares"], fresh.tensors["squares"])


@pytest.mark.parametrize("fit", FITS)
def test_what_was_saved_is_extended_like_what_was_not(llama, fit, tmp_path):
    adds = router(fit)
    before = joined(llama, adds, NAMES[:2], 2)
    some = {name: llama.experts[name] for name in NAMES[:2]}
    write_composition(before, tmp_path / "saved", base_hash="tiny")
    loaded = read_composition(tmp_path / "saved", base_hash="tiny", experts=some)
    assert_same(adds.extend(loaded, llama), adds.compose(llama))


@pytest.mark.parametrize("fit", FITS)
def test_extending_reads_only_what_is_new(llama, fit):
    before, seen = joined(llama, router(fit), NAMES[:2], 2), []
    watched = llama._replace(fit=Fit(lambda done, total, text: seen.append((done, total))))
    router(fit).extend(before, watched)
    assert seen == [(3, 3)]


def test_a_composition_of_another_fit_is_refused(llama):
    before = joined(llama, router("ridge"), NAMES[:2], 2)
    with pytest.raises(CompositionError, match="fit=ridge, not learned; set fit to ridge"):
        Sequence().extend(before, llama)
    with pytest.raises(CompositionError, match=r"with other options \(fit\)"):
        router("centroid").extend(before, llama)


# --- data -------------------------------------------------------------------------------------


def test_an_expert_without_data(llama):
    some = [e for e in llama.data if e.domain != "mlp"]
    for fit in FITS:
        with pytest.raises(CompositionError, match=r"none for mlp\n  Domains .* of: 0, math-v2\."):
            router(fit).compose(llama._replace(data=some))


def test_only_what_is_not_learned_needs_data():
    assert "data" not in Sequence().needs
    assert all(router(fit).needs == {"data", "prompt_mask"} for fit in FITS)


def test_data_of_no_expert_is_counted_and_left_out(llama):
    other = replace(llama.data[0], domain="law")
    for fit in FITS:
        made = router(fit).compose(llama._replace(data=[other, *llama.data]))
        expected = router(fit).compose(llama)
        assert made.report == {**expected.report, "ignored_examples": 1.0}
        assert torch.equal(made.tensors["theta"], expected.tensors["theta"])


def test_examples_beyond_the_context(llama):
    short = replace(llama.base, context=10)
    with pytest.raises(StageError, match="router sequence, ridge: 3 of 3 examples are longer"):
        router("ridge").compose(llama._replace(base=short))
