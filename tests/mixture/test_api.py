"""``selfmoe.compose`` as a user calls it."""

from __future__ import annotations

import pytest
import torch

import selfmoe
from selfmoe.contracts.errors import CompositionError, DataError, SelfmoeError, UnknownNameError
from selfmoe.mixture.storage import model_hash, write_composition
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_llama, tiny_tokenizer


@pytest.fixture
def model():
    return tiny_llama()


@pytest.fixture
def adapters(model, tmp_path):
    return {
        name: str(random_adapter(model, tmp_path / name, seed=i))
        for i, name in enumerate(("math", "coding"))
    }


@torch.no_grad()
def test_a_copy_is_composed(model, adapters):
    ids = torch.arange(10)[None]
    plain = model(ids).logits
    mixed = selfmoe.compose(model, adapters, merge="ties")
    assert not torch.equal(mixed(ids).logits, plain)
    assert torch.equal(model(ids).logits, plain)
    assert not hasattr(model, "mixture")
    assert mixed.mixture.composition.composer == "ties"
    assert mixed.generate(ids, max_new_tokens=3, do_sample=False).shape[1] <= 13
    mixed.mixture.detach()
    assert torch.equal(mixed(ids).logits, plain)


def test_in_place(model, adapters):
    before = model_hash(model)
    model.lm_head.weight.requires_grad_(True)
    mixed = selfmoe.compose(model, adapters, merge="dare", in_place=True, seed=3)
    assert mixed is model
    assert model_hash(model) != before
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["lm_head.weight"]
    model.mixture.detach()
    assert model_hash(model) == before


def test_router_without_data_warns(model, adapters):
    with pytest.warns(UserWarning, match="untrained"):
        mixed = selfmoe.compose(model, adapters, router="topk", options={"k": 2})
    assert mixed.mixture.gate.k == 2
    assert mixed.mixture.experts == ("math", "coding")


def test_router_with_data_learns(model, adapters):
    mixed = selfmoe.compose(
        model,
        adapters,
        router="topk",
        options={"epochs": 2, "lr": 0.05, "batch_size": 3},
        data=tiny_examples(6),
        tokenizer=tiny_tokenizer(),
    )
    assert mixed.mixture.composition.report["steps"] == 4


def test_instance_can_be_kept(model, adapters, tmp_path):
    mixed = selfmoe.compose(
        model, adapters, merge="instance", data=tiny_examples(2), tokenizer=tiny_tokenizer()
    )
    write_composition(mixed.mixture.composition, tmp_path / "kept", base_hash="x")
    assert (tmp_path / "kept" / "adapters" / "instance").is_dir()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, CompositionError, "exactly one of"),
        ({"router": "topk", "merge": "ties"}, CompositionError, "exactly one of"),
        ({"router": "topkk"}, UnknownNameError, "did you mean 'topk'"),
        ({"router": "topk", "options": {"kk": 1}}, SelfmoeError, "kk"),
        ({"merge": "instance"}, CompositionError, "needs examples"),
        ({"router": "topk", "data": tiny_examples(1)}, CompositionError, "tokenizer"),
    ],
)
def test_bad_calls(model, adapters, arguments, error, says):
    with pytest.raises(error, match=says):
        selfmoe.compose(model, adapters, **arguments)


def test_experts_without_names(model, adapters):
    with pytest.raises(CompositionError, match=r"experts must be named.*got list"):
        selfmoe.compose(model, list(adapters.values()), merge="ties")


def test_rows_of_a_file_are_examples_too(model, adapters):
    tokenizer = tiny_tokenizer()
    options = {"max_steps": 2}
    made = [
        selfmoe.compose(
            model, adapters, router="topk", options=options, data=data, tokenizer=tokenizer
        ).mixture.composition.tensors
        for data in (tiny_examples(4), [example.to_json() for example in tiny_examples(4)])
    ]
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
    for row in ({"prompt": "x"}, {**tiny_examples(1)[0].to_json(), "more": 1}, "x"):
        with pytest.raises(DataError, match=r"data\[0\] is no example: expected .*instruction"):
            selfmoe.compose(model, adapters, router="topk", data=[row], tokenizer=tokenizer)


def test_no_experts(model):
    with pytest.raises(CompositionError, match="at least one expert"):
        selfmoe.compose(model, {}, merge="ties")


def test_composing_twice_in_place(model, adapters):
    selfmoe.compose(model, adapters, merge="ties", in_place=True)
    with pytest.raises(CompositionError, match="already"):
        selfmoe.compose(model, adapters, merge="dare", in_place=True)
