"""Batches that take rows while they run: the tokens are those of each row alone."""

from __future__ import annotations

import math
import random

import pytest
import torch

from selfmoe.models.generation import Sampling, generate
from selfmoe.models.generation.drawing import choose, draws
from selfmoe.models.generation.open import Coming, Waiting, open_batch
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.models.tokens import padding, prompt_ids
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
PAD = padding(TOKENIZER)
WAYS = [None, Sampling(0.7, 0.9), Sampling(1.5, 1.0)]


def rows(count: int, seed: int = 0, model=None) -> list[Row]:
    """Return rows of all lengths, of which each has its own limit, stops and way to draw."""
    luck = random.Random(seed)
    made = []
    for number in range(count):
        prompt = [luck.randrange(3, 200) for _ in range(luck.choice([1, 2, 9, 40, 300]))]
        row = Row(number, prompt, most=luck.choice([1, 5, 40]), sampling=luck.choice(WAYS))
        row.draws = draws(number, row.most) if row.sampling else None
        row.stops = Stops(ends_of(model, TOKENIZER)) if model else None
        made.append(row)
    return made


def alone(model, row: Row) -> list[int]:
    """Return what a row writes by itself, without a cache."""
    ids, new = list(row.prompt), []
    while len(new) < row.most and not (new and row.stops and row.stops.ended(new)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[:, -1]
        aim = torch.tensor([row.draws[len(new)] if row.draws else 0.0], dtype=torch.float64)
        new.append(int(choose(logits, row.sampling, aim)[0]))
    return new


@pytest.mark.parametrize("family", ["llama", "gpt2", "jamba"])
def test_rows_that_come_at_any_time_write_what_they_write_alone(family):
    model = tiny_model(family)
    batch = open_batch(model, PAD, 3)
    assert isinstance(batch, Waiting if family == "jamba" else Coming)
    asked = rows(8 if family == "jamba" else 24, model=model)
    luck, waiting = random.Random(1), list(asked)
    while waiting or batch.busy:
        for _ in range(min(len(waiting), luck.choice([0, 0, 1, 4]))):
            batch.put(waiting.pop(0))
        if batch.busy:
            batch.step()
    assert all(row.ended for row in asked)
    assert [row.new for row in asked] == [alone(model, row) for row in asked]


def test_a_row_that_is_dropped_disturbs_nobody_and_frees_its_place():
    model = tiny_llama()
    batch, (one, two, three) = Coming(model, PAD, 2), rows(3, seed=5)
    one.most = two.most = three.most = 12
    for row in (one, two, three):
        row.sampling = row.draws = None
        batch.put(row)
    batch.step()
    assert (len(two.new), len(three.new)) == (1, 0)
    batch.drop(two)
    while batch.busy:
        batch.step()
    assert len(two.new) == 1
    assert [one.new, three.new] == [alone(model, one), alone(model, three)]


def test_no_room_is_kept_for_those_who_have_left():
    batch = Coming(tiny_llama(), PAD, 2)
    batch.put(Row(0, [5] * 1500, most=2))
    while batch.busy:
        batch.step()
    assert batch._cache is None


def test_an_unlikely_prompt_does_not_make_a_forward_of_everything(monkeypatch):
    batch = Coming(tiny_llama(), PAD, 8)
    read = []
    plain = batch._read
    monkeypatch.setattr(batch, "_read", lambda some, s: read.append(len(some)) or plain(some, s))
    for length in (5, 700, 700, 5):
        batch.put(Row(length, [7] * length, most=1))
    while batch.busy:
        batch.step()
    assert read == [1, 1, 1, 1]


def test_rows_note_how_likely_their_tokens_are():
    model, batch = tiny_llama(), Coming(tiny_llama(), PAD, 4)
    row = Row(0, [5, 6, 7], most=6, tops=3)
    for one in (row, Row(1, [9, 9], most=6)):
        batch.put(one)
    while batch.busy:
        batch.step()
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([[5, 6, 7, *row.new]])).logits[0].log_softmax(-1)
    for place, (token, likely) in enumerate(zip(row.new, row.likely, strict=True), start=2):
        assert likely.logprob == pytest.approx(float(whole[place, token]), abs=1e-4)
        assert [t for t, _ in likely.tops] == whole[place].topk(3).indices.tolist()
        assert math.isclose(likely.tops[0][1], likely.logprob, abs_tol=1e-6)


def test_stop_strings_end_a_row_as_they_do_in_generate():
    model = tiny_llama()
    whole = generate(model, TOKENIZER, ["Once upon"], max_new_tokens=24)[0]
    stop = next(c for c in whole.text[3:] if c != "\N{REPLACEMENT CHARACTER}")
    [expected] = generate(model, TOKENIZER, ["Once upon"], max_new_tokens=24, stop=[stop])
    batch = Coming(model, PAD, 2)
    stops = Stops([TOKENIZER.eos_token_id], [stop], TOKENIZER)
    row = Row(0, prompt_ids(TOKENIZER, "Once upon"), most=24, stops=stops)
    batch.put(row)
    while batch.busy:
        batch.step()
    assert stops.continuation(row, TOKENIZER) == expected


def test_tables_of_stop_strings_are_not_kept_for_ever():
    from selfmoe.models.generation import stopping

    for number in range(200):
        Stops([], [chr(0x4E00 + number)], TOKENIZER)
    assert len(stopping._TOKENS_WITH) <= 64
