"""Traces of single samples: the tokens are the sample's, the weights are the gate's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import selfmoe
from selfmoe.cli.generate import trace_tokens
from selfmoe.evaluation import traces
from selfmoe.evaluation.reading import Reader
from selfmoe.evaluation.routing import measure_routing
from selfmoe.evaluation.traces import pieces, trace, trace_samples
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples

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


@pytest.mark.parametrize("context", [512, 60])
def test_what_prompts_share_counts_as_often_as_it_stands_there(base, monkeypatch, context):
    header = "Some solved examples that stand before every question. "
    rows = [
        {"prompt": f"{header * (n % 3)}Question {n * 'o'}", "completion": "4" * n, "fits": n != 5}
        for n in range(14)
    ]
    base = replace(base, context=context)
    shared = measure_routing(base.model.mixture, base, rows, 3)
    read = []
    monkeypatch.setattr(Reader, "shares", property(lambda _: read.append(1)))
    whole = measure_routing(base.model.mixture, base, rows, 3)
    assert read
    assert shared["tokens"] == whole["tokens"]
    for kind in ("shares", "entropy"):
        assert flat(shared[kind]) == pytest.approx(flat(whole[kind]), abs=1e-5)
    for part, mean in shared["mean"].items():
        torch.testing.assert_close(torch.tensor(mean), torch.tensor(whole["mean"][part]))


def flat(values):
    """Return the numbers of nested mappings by their path."""
    if not isinstance(values, dict):
        return {"": values}
    return {f"{k}.{n}": v for k, inner in values.items() for n, v in flat(inner).items()}


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


# --- what ``selfmoe generate --trace`` shows -----------------------------------------------------

ROUTERS = {
    "sequence": {"epochs": 2, "lr": 0.5},
    "xlora": {"epochs": 1, "lr": 0.1},
    "topk": {"k": 1, "epochs": 1, "lr": 0.1},
    "topp": {"epochs": 1, "lr": 0.1},
    "arrow": {},
    "random": {},
}


@pytest.fixture(params=ROUTERS)
def routed(request, tmp_path):
    plain = tiny_base()
    adapters = {
        name: str(random_adapter(plain.model, tmp_path / name, seed=seed))
        for seed, name in enumerate(("math", "coding", "facts"))
    }
    model = selfmoe.compose(
        plain.model,
        adapters,
        router=request.param,
        options=ROUTERS[request.param],
        data=tiny_examples(4, tuple(adapters)),
        tokenizer=plain.tokenizer,
    )
    return replace(plain, model=model)


def test_a_shown_trace_is_the_one_of_evaluation(routed):
    for answer in (" forty-two", "\n42 🙂", "a much longer answer than asked"):
        row = {"id": "a", "prompt": "What is 6 times 7?", "completion": answer, "score": 1.0}
        found = trace(routed.model.mixture, routed, row)
        ids, weights = trace_tokens(routed, row["prompt"], answer)
        assert ids == routed.tokenizer(answer, add_special_tokens=False).input_ids
        expected = torch.tensor(found["weights"][found["prompt"] :])
        torch.testing.assert_close(torch.tensor(weights), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("routed", ["sequence"], indirect=True)
def test_what_was_decided_on_the_prompt_is_shown_whatever_the_answer(routed):
    mixture = routed.model.mixture
    for prompt in ("a", "Zürich?", "one two three four", "12\n34", "def f(x):"):
        tokens = routed.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode(), mixture.record(trace=True) as record:
            routed.model(input_ids=tokens)
        decided = record.traces[0].weights[0, -1]
        assert decided.std() > 0.01
        for answer in ("x", " quite another thing, and long", "99999999"):
            _, weights = trace_tokens(routed, prompt, answer)
            shown = torch.tensor(weights)
            torch.testing.assert_close(shown, decided.expand_as(shown), atol=1e-5, rtol=0)


@pytest.mark.parametrize("routed", ["sequence"], indirect=True)
def test_a_shown_answer_is_cut_at_the_context(routed):
    start = len(routed.tokenizer("one").input_ids)
    ids, weights = trace_tokens(replace(routed, context=start + 3), "one", "abcdef")
    assert len(ids) == len(weights) == 3
