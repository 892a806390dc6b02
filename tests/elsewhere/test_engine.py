"""Every router's mixture writes, in rows that come and go, what it writes alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from _generate.elsewhere import ROUTERS
from selfmoe.models.generation import Sampling, ability, generate
from selfmoe.models.generation.ability import comes_and_goes
from selfmoe.testing.models import tiny_tokenizer

HEADER = "Below is an instruction that describes a task.\n\n"
PROMPTS = ["Go", *(HEADER + end for end in ("Add 1.", "Name a sea, please.", "Stop", "Sum"))]


def told(model):
    """Say the domain of all rows, for routers that need it."""
    if "labels_at_inference" not in model.mixture.needs:
        return nullcontext()
    return model.mixture.annotate(domain=("math",))


@pytest.mark.parametrize("router", ROUTERS)
def test_rows_that_come_and_go_write_what_each_writes_alone(of, router):
    model, tokenizer = of(router), tiny_tokenizer()
    with told(model):
        assert comes_and_goes(model) == (router not in ("sequence", "retrieval"))
        found = generate(model, tokenizer, PROMPTS, max_new_tokens=9, batch_size=2)
        for text, prompt in zip(found, PROMPTS, strict=True):
            ids = torch.tensor([tokenizer(prompt).input_ids])
            how = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 9}
            alone = model.generate(ids, do_sample=False, **how)
            assert list(text.tokens) == alone[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("router", ["topk", "xlora", "sequence"])
def test_what_is_drawn_does_not_depend_on_the_batch(of, router):
    model, seeds = of(router), list(range(len(PROMPTS)))
    how = {"max_new_tokens": 9, "sampling": Sampling(1.2, 0.95)}
    one, two = (
        generate(model, tiny_tokenizer(), PROMPTS, seeds=seeds, batch_size=size, **how)
        for size in (1, 4)
    )
    assert one == two
    other = generate(model, tiny_tokenizer(), PROMPTS, seeds=seeds[::-1], batch_size=4, **how)
    assert other != two


def test_a_record_hears_of_every_row_in_its_place(of):
    model, tokenizer = of("topk"), tiny_tokenizer()
    with model.mixture.record(trace=True) as record:
        generate(model, tokenizer, PROMPTS, max_new_tokens=3, batch_size=2)
    prompts = [tokenizer(prompt).input_ids for prompt in PROMPTS]
    read = record.traces[0].input_ids.tolist()
    assert [row[-len(prompt) :] for row, prompt in zip(read, prompts, strict=True)] == prompts


class Stand:
    """Stands for a mixture."""

    def __init__(self, parts):
        self.parts = parts


def test_what_is_known_of_a_mixture_is_not_taken_for_the_next_one(monkeypatch):
    monkeypatch.setattr(ability, "_may", lambda model, mixture: mixture.parts)
    monkeypatch.setattr(ability, "_agrees", lambda model: True)
    model = torch.nn.Linear(1, 1)
    for number in range(50):  # one that is gone leaves its place in memory to the next
        model.mixture = Stand(number % 2 == 0)
        assert comes_and_goes(model) == (number % 2 == 0)
        del model.mixture
