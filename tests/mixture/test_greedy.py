"""Greedy tokens on the shipped base: with and without cache, alone and padded in a batch."""

from __future__ import annotations

import pytest
import torch

from selfmoe.config.resolve import resolve
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Instruction
from selfmoe.mixture.compose import compose
from selfmoe.models.base import find_base, load_base
from selfmoe.testing.models import random_adapter

PROMPTS = [
    alpaca(
        Instruction("Answer the question.", "What is the capital of Peru? Options: Oslo, Lima.")
    ),
    alpaca(
        Instruction("Solve it.", "There are 3 boxes with 5 pens each. How many pens are there?")
    ),
]


@pytest.fixture(scope="module")
def seedling():
    config = resolve({"base": "seedling"})
    return load_base(find_base(config), config)


@pytest.fixture(scope="module", params=[1, 2])
def routed(request, seedling, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experts")
    experts = {
        name: random_adapter(seedling.model, folder / name, r=4, seed=seed)
        for seed, name in enumerate(("one", "two", "three"))
    }
    with pytest.warns(UserWarning, match="untrained"):
        return compose(seedling.model, experts, router="topk", options={"k": request.param})


def greedy(model, tokenizer, prompts, **options):
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=24, do_sample=False, **options)
    return [
        [token for token in row if token != tokenizer.pad_token_id]
        for row in output[:, inputs.input_ids.shape[1] :].tolist()
    ]


def test_cache_and_padding_change_no_token(routed, seedling):
    together = greedy(routed, seedling.tokenizer, PROMPTS)
    assert greedy(routed, seedling.tokenizer, PROMPTS, use_cache=False) == together
    alone = [greedy(routed, seedling.tokenizer, [prompt])[0] for prompt in PROMPTS]
    assert alone == together


def test_the_mixture_is_not_the_base(routed, seedling):
    assert greedy(routed, seedling.tokenizer, PROMPTS) != greedy(
        seedling.model, seedling.tokenizer, PROMPTS
    )
