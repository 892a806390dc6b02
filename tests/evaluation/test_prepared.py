"""Prompts and tokens are made once for all systems that are asked the same, and never mixed up."""

from __future__ import annotations

from typing import Any

import pytest

from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.evaluation.prepared import Encodings, Prepared
from selfmoe.testing.models import tiny_llama


@pytest.fixture
def read(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that tokenizers have been given."""
    texts: list[str] = []
    plain = type(tokenizer).__call__

    def noted(self: Any, text: str, *arguments: Any, **settings: Any) -> Any:
        texts.append(text)
        return plain(self, text, *arguments, **settings)

    monkeypatch.setattr(type(tokenizer), "__call__", noted)
    return texts


@pytest.fixture
def ask(tmp_path: Any) -> Any:
    """Return what asks a model a benchmark, with what was prepared for others."""
    asked: list[int] = []

    def ask(model: Any, tokenizer: Any, benchmark: Any, prepared: Any, **settings: Any) -> Any:
        asked.append(1)
        context = settings.pop("context", 512)
        return evaluate(
            model, tokenizer, benchmark, Setup(**{"batch_size": 4, **settings}),
            benchmark_id="toy/sums", context=context, work=tmp_path / str(len(asked)),
            prepared=prepared,
        )  # fmt: skip

    return ask


def test_a_second_system_is_asked_the_same_without_a_look_at_the_texts(
    ask: Any, tokenizer: Any, make_sums: Any, read: list[str]
) -> None:
    benchmark, prepared = make_sums(20, ["one", "two"]), Prepared()
    first = ask(tiny_llama(0), tokenizer, benchmark, prepared, shots=2)
    assert sum(map(len, read)) > 20 * len(first[1][0]["prompt"])
    read.clear()
    model = tiny_llama(1)
    ask(model, tokenizer, benchmark, prepared, shots=2)
    assert first[1][0]["prompt"] in read, "another model may lack a token"
    read.clear()
    again = ask(model, tokenizer, benchmark, prepared, shots=2)
    assert read == []
    assert again == ask(model, tokenizer, benchmark, Prepared(), shots=2)


@pytest.mark.parametrize("change", [{"shots": 1}, {"limit": 9}, {"template": "plain"}])
def test_what_is_asked_otherwise_is_prepared_anew(
    ask: Any, llama: Any, tokenizer: Any, make_sums: Any, change: Any
) -> None:
    benchmark, prepared = make_sums(12), Prepared()
    benchmark.plain = lambda doc: f"{doc['a']} + {doc['b']} ="
    ask(llama, tokenizer, benchmark, prepared, shots=2)
    settings = {"shots": 2, **change}
    expected = ask(llama, tokenizer, benchmark, None, **settings)
    assert ask(llama, tokenizer, benchmark, prepared, **settings) == expected


def test_benchmarks_tokenizers_and_contexts_are_told_apart(
    ask: Any, llama: Any, make_tokenizer: Any, make_sums: Any
) -> None:
    prepared, one, two = Prepared(), make_tokenizer(True), make_tokenizer(False)
    sums, other = make_sums(6), make_sums(6)
    other.items = [{**doc, "a": doc["a"] + 50} for doc in other.items]
    for benchmark in (sums, other):
        for tokenizer in (one, two):
            for context in (512, 330):
                found = ask(llama, tokenizer, benchmark, prepared, shots=2, context=context)
                fresh = ask(llama, tokenizer, benchmark, None, shots=2, context=context)
                assert found == fresh


def test_no_more_is_kept_than_there_is_room_for(
    ask: Any, llama: Any, tokenizer: Any, sums: Any
) -> None:
    assert ask(llama, tokenizer, sums, Prepared(most=0)) == ask(llama, tokenizer, sums, Prepared())
    made: list[str] = []

    def tokens(text: str) -> list[int]:
        made.append(text)
        return [7] * 100

    small = Encodings(most=1000)
    for _ in range(2):
        for text in ("a", "b", "c"):
            assert small.of([text], lambda text=text: tokens(text)) == [7] * 100
    assert made == ["a", "b", "c", "b", "c"] or made == ["a", "b", "c", "c"]


def test_texts_that_read_alike_side_by_side_are_not_the_same() -> None:
    kept = Encodings()
    pairs = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("a b", "c"),
        ("a", "b c"),
        ("\ud800", ""),
        ("", ""),
    ]
    for number, texts in enumerate(pairs):
        assert kept.of(texts, lambda number=number: [number]) == [number]
    for number, texts in enumerate(pairs):
        assert kept.of(texts, lambda: [99]) == [number]


def test_what_is_handed_out_may_be_changed() -> None:
    kept = Encodings()
    kept.of(["a"], lambda: [1, 2]).append(3)
    kept.of(["a"], list).append(4)
    assert kept.of(["a"], list) == [1, 2]
