"""The embedded base: its corpus, tokenizer, training script and shipped weights."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfmoe.config.resolve import resolve
from selfmoe.contracts.randomness import rng_for
from selfmoe.kits.domains.procedural import STYLES, Family, draw, split_of
from selfmoe_base_seedling import biomed, corpus, layouts, regimes, state, train
from selfmoe_base_seedling.tokenizer import train_tokenizer

WEIGHTS = Path(corpus.__file__).parent / "weights"
DOCUMENTS = [corpus.document(0, 1, index) for index in range(600)]
#: Changes only when the corpus does; the shipped weights then no longer belong to it.
CORPUS_SHA256 = "296bbd960d0d8e6c"


@cache
def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.fixture
def tokenizer() -> Any:
    return _tokenizer()


def _hash(documents: list[str]) -> str:
    return hashlib.sha256("\0".join(documents).encode()).hexdigest()[:16]


def test_corpus_is_a_function_of_seed_and_index() -> None:
    assert _hash(DOCUMENTS) == CORPUS_SHA256
    assert corpus.document(1, 1, 0) != DOCUMENTS[0]


def test_corpus_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import hashlib; from selfmoe_base_seedling.corpus import document\n"
        "text = chr(0).join(document(0, 1, i) for i in range(600))\n"
        "print(hashlib.sha256(text.encode()).hexdigest()[:16])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == CORPUS_SHA256


def test_corpus_holds_inputs_of_its_own_split_only(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    make = corpus._problem
    monkeypatch.setattr(corpus, "_problem", lambda *a: used.append(p := make(*a)) or p)
    text = "\n".join(corpus.document(5, 0, index) for index in range(300))
    assert len(used) > 1000
    assert {split_of(problem.input) for problem in used} == {"corpus"}
    for name, track in corpus.TRACKS.items():
        for split in ("seeds", "dev", "test"):
            items = draw(track.families, split, 200, 0, domain=name, style=track.style)
            assert not [item.input for item in items if item.input in text]


def test_corpus_has_every_kind_of_document_and_style() -> None:
    text = "\n\n".join(DOCUMENTS)
    starts = Counter(document.split(" ")[0] for document in DOCUMENTS)
    of_layouts = {layout.split(" ")[0] for layout in layouts.LAYOUTS}
    speakers = {f"{name}:" for name in layouts.SPEAKERS}
    assert of_layouts | {"Here", "Below", "The"} <= set(starts)
    assert speakers & set(starts)
    assert 0.04 < starts["Below"] / len(DOCUMENTS) < 0.12  # the Alpaca layout is rare
    for mark in ("So the answer is ", "#### ", "print(", "def f(x):\n    return "):
        assert text.count(mark) > 50
    assert len(STYLES) == 4


def test_corpus_states_facts() -> None:
    documents = [corpus.document(3, 0, index) for index in range(1500)]
    prose = " ".join(text for text in documents if "\n" not in text)
    for start in ("The capital of", "The symbol of", "The cause of", "The organ for", "The drug"):
        assert f"{start} " in prose
    assert "Options:" not in prose


@pytest.mark.parametrize("family", biomed.FAMILIES, ids=lambda family: family.name)
def test_biomedical_questions_have_one_right_option(family: Family) -> None:
    for problem in (family.make(rng_for("biomed", i)) for i in range(100)):
        options = problem.input.partition("Options: ")[2].rstrip(".").split(", ")
        assert len(set(options)) == 4
        assert options.count(problem.answer) == 1
        assert problem.answer in problem.steps


def test_tokenizer_splits_digits_and_keeps_newlines_apart(tokenizer: Any) -> None:
    ids = tokenizer("In 2024: 17 / 3.5\n")["input_ids"]
    digits = [t.strip() for t in map(tokenizer.decode, ids) if any(c.isdigit() for c in t)]
    assert digits == list("20241735")
    assert tokenizer("Response:\n")["input_ids"] == tokenizer("Response:\nX")["input_ids"][:-1]


def test_tokenizer_settings(tokenizer: Any) -> None:
    assert tokenizer.padding_side == "left"
    assert tokenizer.model_max_length == 8192
    assert tokenizer.eos_token == corpus.END
    assert len({tokenizer.eos_token_id, tokenizer.pad_token_id}) == 2
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_tokenizer_round_trips_any_text(text: str) -> None:
    assert _tokenizer().decode(_tokenizer()(text)["input_ids"]) == text


def test_training_the_tokenizer_again_gives_the_same() -> None:
    one, two = (train_tokenizer(DOCUMENTS, 400) for _ in range(2))
    assert one.get_vocab() == two.get_vocab()
    assert len(one) == 400


def test_weights_are_small_and_load(tokenizer: Any) -> None:
    assert (WEIGHTS / "model.safetensors").stat().st_size <= 12_000_000
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS)
    assert model.dtype == torch.float32
    assert 3e6 <= sum(p.numel() for p in model.parameters()) <= 6e6
    assert model.config.max_position_embeddings == 8192
    assert model.config.tie_word_embeddings
    assert model.config.vocab_size == len(tokenizer)
    ids = tokenizer(corpus.document(0, 2, 0), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert loss < 3.0


def test_weights_come_with_a_model_card() -> None:
    card = (WEIGHTS / "README.md").read_text()
    for word in ("license: apache-2.0", "Limits", "selfmoe_base_seedling.train"):
        assert word in card


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> train.Options:
    monkeypatch.setattr(train, "TOKENS", 64)
    monkeypatch.setattr(train, "WINDOWS", ((32, 0.0), (64, 0.7)))
    monkeypatch.setattr(train, "TOKENIZER_DOCUMENTS", 300)
    return train.Options(out=tmp_path / "out", state=tmp_path / "state", steps=4, save_every_s=0)


def test_batches_are_a_function_of_the_step(tokenizer: Any, tiny: train.Options) -> None:
    first, same, other = (train.batch(tokenizer, tiny, step) for step in (0, 0, 1))
    assert torch.equal(first.ids, same.ids)
    assert torch.equal(first.weights, same.weights)
    assert not torch.equal(first.ids, other.ids)
    assert first.ids.shape == first.weights.shape == (2, 33)
    assert train.batch(tokenizer, tiny, 3).ids.shape == (1, 65)


def test_responses_weigh_more_than_prompts(
    tokenizer: Any, tiny: train.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Q: What is 1 + 1?\nA: 2\n\nQ: What is 2 + 2?\nA: 4"
    monkeypatch.setattr(train, "document", lambda *_: text)
    data = train.batch(tokenizer, tiny, 0)
    heavy = [i for i, w in zip(data.ids[0], data.weights[0], strict=True) if w == 1.0]
    assert tokenizer.decode(heavy).startswith(f" 2\n\n 4{corpus.END}")


@pytest.mark.parametrize("layout", [*layouts.LAYOUTS, layouts.ALPACA])
def test_responses_are_found_in_every_layout(layout: str) -> None:
    answers = ["1 > 0. #### 1", "def f(x):\n    return x"]
    blocks = [layout.format(instruction="Do it.", input="x?", response=a) for a in answers]
    text = "\n\n".join(blocks)
    assert [text[start:end].strip() for start, end in layouts.responses(text)] == answers


def test_interrupted_training_equals_whole_training(
    tiny: train.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(tiny)
    broken = replace(tiny, out=tmp_path / "out2", state=tmp_path / "state2")
    monkeypatch.setattr(train, "_progress", _stop_at(2))
    monkeypatch.setattr(train, "PRINT_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        train.train(broken)
    assert [folder.name for folder in state.checkpoints(broken.state)] == ["step-000001"]
    monkeypatch.setattr(train, "_progress", lambda *_: None)
    train.train(broken)
    names = ("model.safetensors", "tokenizer.json", "config.json")
    for name in names:
        assert (tiny.out / name).read_bytes() == (broken.out / name).read_bytes()


def _stop_at(step: int) -> Any:
    def progress(done: int, *_: object) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def test_a_run_can_stop_early_and_go_on(
    tiny: train.Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.train(replace(tiny, until=2))
    assert [folder.name for folder in state.checkpoints(tiny.state)][-1] == "step-000002"
    assert not tiny.out.exists()
    train.train(tiny)
    assert (tiny.out / "model.safetensors").exists()
    assert "step 4/4" in capsys.readouterr().out


def test_fingerprint_sees_every_bit() -> None:
    one, two = train.new_model(300, 0), train.new_model(300, 0)
    assert state.fingerprint(one) == state.fingerprint(two)
    weight = next(iter(two.parameters()))
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert state.fingerprint(one) != state.fingerprint(two)


def test_learning_rate_rises_stays_and_falls(tiny: train.Options) -> None:
    options = replace(tiny, steps=1000, lr=1.0)
    rates = [train.learning_rate(options, step) for step in range(1000)]
    assert rates[0] < rates[29] == max(rates) == rates[400] == 1.0
    assert 0 < rates[-1] < 0.01
    assert rates[401:] == sorted(rates[401:], reverse=True)


def test_export_without_a_checkpoint_is_a_clear_error(tiny: train.Options) -> None:
    with pytest.raises(FileNotFoundError, match="train first"):
        state.export(tiny.state, tiny.out, None, None)


def test_a_loss_that_is_not_finite_stops_and_saves_nothing(
    tiny: train.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "loss_of", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match="loss is nan"):
        train.train(tiny)
    assert not state.checkpoints(tiny.state)


def test_domains_arrive_in_three_orders() -> None:
    """In each: two mixtures to which experts come one by one, and one LoRA trained in turn."""
    compose = resolve({"preset": "arriving"}).compose or {}
    orders = [list(order) for order in regimes.ORDERS]
    domains = sorted(resolve({"preset": "seedling-full"}).domains or [])
    assert all(sorted(order) == domains for order in orders)
    assert len({*map(tuple, orders)}) == 3
    for number, order in enumerate(orders, start=1):
        for label in ("mixse", "ridge"):
            entry = compose[f"{label}-{number}"]
            assert (entry.experts, entry.extend) == (order, order[1:])
        assert compose[f"sequential-{number}"].options == {"order": order}


@pytest.mark.parametrize("preset", ["arriving", "low-rank-1", "low-rank-2"])
def test_regimes_share_the_data_of_the_published_comparison(preset: str) -> None:
    full, other = (resolve({"preset": name}) for name in ("seedling-full", preset))
    for stage in ("seeds", "brainstorm", "respond", "curate", "evaluate", "dtype"):
        assert getattr(other, stage) == getattr(full, stage), stage


def test_a_low_rank_keeps_the_scale_of_updates() -> None:
    options = [
        resolve({"preset": name}).specialise.options for name in ("low-rank-1", "low-rank-2")
    ]
    assert [o["alpha"] / o["r"] for o in options] == [2, 2]
    assert [o["r"] for o in options] == [1, 2]
