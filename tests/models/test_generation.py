"""What is written is what each prompt alone would get, however rows come and go."""

from __future__ import annotations

import random
from functools import cache

import pytest
import torch
from transformers import TopPLogitsWarper

from selfmoe.models.generation import Sampling, generate
from selfmoe.models.generation import continuous as continuous_module
from selfmoe.models.generation import engine as engine_module
from selfmoe.models.generation.ability import comes_and_goes
from selfmoe.models.generation.continuous import Continuous
from selfmoe.models.generation.drawing import choose, draws
from selfmoe.models.generation.engine import stream
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.room import rows_at_once
from selfmoe.models.generation.slots import zeros
from selfmoe.models.generation.static import Static
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
HEADER = "Below is an instruction that describes a task. Write a response.\n\n"
PROMPTS = [
    "Go",
    HEADER + "Add 1 and 2.",
    "How many legs have three spiders?",
    HEADER + "Name a sea.",
    HEADER + "Add 1 and 2.",
    HEADER + "Which of these animals has more legs than a spider: a cat, a crab, or an ant?",
    "It is",
    HEADER + "Stop",
    HEADER,
]
HOT = Sampling(1.3, 0.9)
SEEDS = [11 * n for n in range(len(PROMPTS))]


@cache
def model(family="llama"):
    return tiny_model(family)


def alone(of, prompt, **how):
    """Return what plain ``generate`` of transformers writes after one prompt, token by token."""
    ids = torch.tensor([TOKENIZER(prompt).input_ids])
    made = of.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **how)
    return tuple(made[0, ids.shape[1] :].tolist())


def tokens(of, prompts=PROMPTS, **how):
    return [text.tokens for text in generate(of, TOKENIZER, prompts, **how)]


# --- the same as alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_greedy_tokens_are_those_of_transformers_alone(family, batch_size):
    of = model(family)
    assert comes_and_goes(of)
    expected = [alone(of, prompt, max_new_tokens=14) for prompt in PROMPTS]
    assert tokens(of, max_new_tokens=14, batch_size=batch_size) == expected
    assert len(set(expected)) > 3


@pytest.mark.parametrize("engine", [Continuous, Static])
@pytest.mark.parametrize("sampling", [None, HOT, Sampling(0.7, 1.0)])
def test_what_is_drawn_depends_on_prompt_and_seed_alone(engine, sampling, monkeypatch):
    how = {"max_new_tokens": 12, "sampling": sampling}
    seeds = SEEDS if sampling else []
    single = [
        tokens(model(), [prompt], **how, seeds=seeds[n : n + 1])[0]
        for n, prompt in enumerate(PROMPTS)
    ]
    monkeypatch.setattr(engine_module, "comes_and_goes", lambda _: engine is Continuous)
    for batch_size in (1, 2, 7, 64):
        order = random.Random(batch_size).sample(range(len(PROMPTS)), len(PROMPTS))
        found = tokens(
            model(),
            [PROMPTS[n] for n in order],
            **how,
            seeds=[SEEDS[n] for n in order] if sampling else [],
            batch_size=batch_size,
        )
        assert found == [single[n] for n in order]


def test_rows_are_moved_where_there_is_no_room_behind_them(monkeypatch):
    monkeypatch.setattr(continuous_module, "_SLACK", 1)
    prompts = [HEADER[: 5 + 7 * n] for n in range(9)] * 3
    expected = [alone(model(), prompt, max_new_tokens=5) for prompt in prompts]
    assert tokens(model(), prompts, max_new_tokens=5, batch_size=2) == expected


@pytest.mark.parametrize("batch_size", [2, None])
def test_stop_strings_end_a_row_and_are_cut(batch_size):
    plain = generate(model(), TOKENIZER, PROMPTS, max_new_tokens=24)
    stop = [next(c for c in plain[n].text[3:] if c.isascii() and c.isprintable()) for n in (0, 2)]
    found = generate(
        model(), TOKENIZER, PROMPTS, max_new_tokens=24, stop=stop, batch_size=batch_size
    )
    for text, whole in zip(found, plain, strict=True):
        assert text.text == min((whole.text.split(s)[0] for s in stop), key=len)
        assert text.tokens == whole.tokens[: len(text.tokens)]
        assert text.finished or not any(s in whole.text for s in stop)
    assert any(len(t.tokens) < len(w.tokens) for t, w in zip(found, plain, strict=True))


def test_texts_come_out_as_they_end():
    stop = [generate(model(), TOKENIZER, PROMPTS[:1], max_new_tokens=4)[0].text[1]]
    found = list(
        stream(model(), TOKENIZER, PROMPTS, max_new_tokens=30, stop=stop, batch_size=len(PROMPTS))
    )
    lengths = [len(text.tokens) for _, text in found]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    assert sorted(number for number, _ in found) == list(range(len(PROMPTS)))


def test_a_caller_is_not_in_inference_mode_meanwhile():
    for _ in stream(model(), TOKENIZER, PROMPTS[:2], max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


def test_of_equal_logits_the_token_is_that_of_transformers():
    even = tiny_llama(seed=5, dtype=torch.bfloat16)
    with torch.no_grad():
        even.lm_head.weight[1::2] = even.lm_head.weight[::2]  # every logit stands there twice
    expected = [alone(even, prompt, max_new_tokens=5) for prompt in PROMPTS[:3]]
    found = [tokens(even, [prompt], max_new_tokens=5)[0] for prompt in PROMPTS[:3]]
    assert found == expected


def test_progress_is_told_at_every_step():
    told = []
    found = generate(
        model(), TOKENIZER, PROMPTS, max_new_tokens=6, batch_size=4, progress=told.append
    )
    assert [one.tokens for one in told] == sorted(one.tokens for one in told)
    assert told[0].tokens == 4
    assert (told[-1].done, told[-1].rows) == (len(PROMPTS), len(PROMPTS))
    assert told[-1].tokens == sum(len(text.tokens) for text in found)
    assert told[-1].rate > 0


def test_what_prompts_share_is_read_once(monkeypatch):
    read = []
    plain = continuous_module.Forward.__call__

    def count(self, ids, mask, places, cache):
        read.append(ids.numel())
        return plain(self, ids, mask, places, cache)

    monkeypatch.setattr(continuous_module.Forward, "__call__", count)
    prompts = [HEADER * 3 + name for name in ("cat", "dog", "emu", "fox", "gnu")]
    generate(model(), TOKENIZER, prompts, max_new_tokens=1)
    assert sum(read) < 1.3 * len(prompts[0])


# --- which engine ---------------------------------------------------------------------------------


def test_a_model_that_answers_otherwise_beside_others_is_left_to_transformers(monkeypatch):
    other = tiny_llama(seed=3)
    plain = other.model.forward
    monkeypatch.setattr(
        other.model, "forward", lambda **given: plain(**(given | {"position_ids": None}))
    )
    assert not comes_and_goes(other)
    assert comes_and_goes(tiny_llama(seed=3))


def test_rows_of_which_a_caller_has_said_something_stay_in_order():
    class Said:
        domain = ("math", "coding")

    class Told:
        said = Said()
        running = type("Running", (), {"record": None})()
        needs = frozenset()

    of = tiny_llama(seed=4)
    of.mixture = Told()
    engine, rows, slots = engine_module._engine(of, ["b", "a"], 1)
    assert (engine, rows, slots) == (Static, ["b", "a"], 2)


# --- drawing --------------------------------------------------------------------------------------


def naive(logits, sampling, number):
    """Return the token in whose part of the kept distribution a number falls, one row."""
    kept = TopPLogitsWarper(sampling.top_p)(None, (logits / sampling.temperature)[None])[0]
    chances = kept.softmax(-1).double()
    total = 0.0
    for token, chance in enumerate(chances.tolist()):
        total += chance
        if number < total:
            return token
    raise AssertionError


@pytest.mark.parametrize("sampling", [HOT, Sampling(1.0, 1.0), Sampling(2.0, 0.999)])
@pytest.mark.parametrize("size", [5, 260, 2000])
def test_draws_are_those_of_a_naive_reference(sampling, size):
    torch.manual_seed(size)
    logits = 2 * torch.randn(64, size)
    numbers = torch.tensor(draws(7, 64), dtype=torch.float64)
    found, near = choose(logits, sampling, numbers)
    expected = [naive(row, sampling, u) for row, u in zip(logits, numbers.tolist(), strict=True)]
    sure = [place for place, margin in enumerate(near.tolist()) if margin > 1e-6]
    assert len(sure) > 60
    assert [found[n].item() for n in sure] == [expected[n] for n in sure]
    assert len(set(expected)) > 3


def test_the_margin_says_how_near_another_token_came():
    logits = torch.tensor([[1.0, 3.0, 2.5], [0.0, 0.0, -9.0]])
    tokens_, near = choose(logits, None, torch.zeros(2))
    assert tokens_.tolist()[0] == 1
    assert near.tolist() == pytest.approx([0.5, 0.0])
    even = torch.zeros(3, 4)
    numbers = torch.tensor([0.26, 0.1, 0.9], dtype=torch.float64)
    tokens_, near = choose(even, Sampling(1.0, 1.0), numbers)
    assert tokens_.tolist() == [1, 0, 3]
    assert near.tolist() == pytest.approx([0.01, 0.15, 0.15])


def test_numbers_are_spread_evenly_and_are_a_seeds_own():
    many = torch.tensor(draws(1, 20_000))
    assert many.mean().item() == pytest.approx(0.5, abs=0.01)
    assert draws(1, 5) == draws(1, 9)[:5] != draws(2, 5)


def test_a_number_at_the_very_end_draws_a_token_that_is_kept():
    logits = torch.tensor([[5.0, 4.0, -40.0, -40.0]])
    last = torch.tensor([1.0 - 2**-53], dtype=torch.float64)
    found, _ = choose(logits, Sampling(1.0, 0.9), last)
    assert found.item() in (0, 1)


# --- how many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "deepseek_v3", "jamba", "gemma4"])
def test_memory_decides_how_many_rows_run(family, monkeypatch):
    of, rows = tiny_model(family), [Row(n, [5, 6]) for n in range(90)]
    found = {}
    for free in (0, 2**21, 2**40):
        monkeypatch.setattr("selfmoe.models.generation.room._free", lambda device, free=free: free)
        found[free] = rows_at_once(of, rows, 100)
    assert found[0] == 1 < found[2**21] < found[2**40] == len(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 2, 70, 8), (1, 1, 1, 1), (2, 0, 5, 4)])
def test_memory_of_slots_holds_zeros_where_torch_would_put_it(dtype, shape):
    like = torch.ones(1, dtype=dtype)
    for _ in range(3):
        made = zeros(like, shape)
        assert (made.dtype, tuple(made.shape)) == (dtype, shape)
        assert torch.equal(made, like.new_zeros(shape))
        assert made.data_ptr() % 64 == 0
        made += 1  # what is given back must not be handed out as it is
