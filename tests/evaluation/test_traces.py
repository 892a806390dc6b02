"""Traces of single samples: the tokens are the sample's, the weights are the gate's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import selfmoe
from selfmoe.evaluation import traces
from selfmoe.evaluation.routing import measure_routing
from selfmoe.evaluation.traces import pieces, trace, trace_samples
from selfmoe.testing.models import random_adapter, tiny_base

ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Zürich 🙂?", "completion": "\n42", "score": 1.0, "fits": True},
    {"id": "b", "prompt": "too long", "completion": "", "score": 0.0, "fits": False},
    {"id": "c", "prompt": "one", "completion": " two", "score": 0.0, "fits": True},
    {"id": "d", "prompt": "three", "completion": "four", "score": 0.0, "fits": True},
]


@pytest.fixture
def base(tmp_path):
    plain = tiny_base()
    adapters = {
        name: str(random_adapter(plain.model, tmp_path / name, seed=seed))
        for seed, name in enumerate(("math", "coding"))
    }
    with pytest.warns(UserWarning, match="untrained"):
        model = selfmoe.compose(plain.model, adapters, router="topk", options={"k": 1})
    return replace(plain, model=model)


def test_a_trace_is_the_sample_token_by_token(base):
    mixture = base.model.mixture
    found = trace(mixture, base, ROWS[0])
    prompt = len(base.tokenizer(ROWS[0]["prompt"]).input_ids)
    assert "".join(found["tokens"][:prompt]) == "Zürich 🙂?"
    assert "".join(found["tokens"][prompt:]) == "\n42"
    assert (found["id"], found["score"], found["cut"], found["prompt"]) == ("a", 1.0, 0, prompt)
    assert found["experts"] == ["math", "coding"]
    assert len(found["weights"]) == len(found["tokens"])
    measured = measure_routing(mixture, base, [ROWS[0]], 1)["mean"]["all"]
    mean = torch.tensor(found["weights"]).mean(0)
    torch.testing.assert_close(mean, torch.tensor(measured).mean(0), atol=1e-3, rtol=0)


def test_the_first_samples_that_fit_are_traced(base):
    assert [row["id"] for row in trace_samples(base.model.mixture, base, ROWS)] == ["a", "c"]


def test_of_a_long_sample_the_end_is_kept(base, monkeypatch):
    monkeypatch.setattr(traces, "LONGEST", 6)
    found = trace(base.model.mixture, base, ROWS[2])
    whole = len(base.tokenizer("one").input_ids) + len(base.tokenizer(" two").input_ids)
    assert found["cut"] == whole - 6 > 0
    assert "".join(found["tokens"][found["prompt"] :]) == " two"
    assert len(found["tokens"]) == len(found["weights"]) == 6


def test_a_sample_is_cut_at_the_context(base):
    found = trace(base.model.mixture, replace(base, context=4), ROWS[2])
    assert len(found["tokens"]) == len(found["weights"]) == 4
    assert "".join(found["tokens"]) == "one "


def test_special_tokens_show_by_name():
    class Tokenizer(SimpleNamespace):
        def __call__(self, text: str, **_: Any) -> Any:
            return SimpleNamespace(input_ids=[1, 5, 6], offset_mapping=[(0, 0), (0, 2), (3, 4)])

    named = Tokenizer(is_fast=True, all_special_ids=[1], convert_ids_to_tokens=lambda i: f"<{i}>")
    assert pieces(named, "ab c") == ["<1>", "ab", " c"]
    plain = Tokenizer(is_fast=False, decode=lambda ids: f"[{ids[0]}]")
    assert pieces(plain, "ab c") == ["[1]", "[5]", "[6]"]
