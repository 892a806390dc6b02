"""Comparing texts."""

from __future__ import annotations

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from selfmoe.contracts.text import ngrams, normalise, rouge_l, words

WORDS = [*"abcdefgh", "add", "two", "10", "numbers", "and", "the", "sum", "print"]


def _pair(seed: int) -> tuple[str, str]:
    rng = random.Random(seed)
    one = rng.choices(WORDS, k=rng.randint(1, 25))
    if rng.random() < 0.5:
        return " ".join(one), " ".join(rng.choices(WORDS, k=rng.randint(1, 25)))
    two = [word for word in one if rng.random() < 0.8] or one[:1]
    return " ".join(one), " ".join(two)


def test_rouge_l_equals_rouge_score() -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    values = set()
    for seed in range(200):
        a, b = _pair(seed)
        expected = scorer.score(a, b)["rougeL"].fmeasure
        assert rouge_l(words(a), words(b)) == pytest.approx(expected, abs=1e-12)
        values.add(round(expected, 3))
    assert len(values) > 50


def test_rouge_l_at_its_ends() -> None:
    assert rouge_l(["a", "b"], ["a", "b"]) == 1.0
    assert rouge_l(["a", "b"], ["c"]) == 0.0
    assert rouge_l([], []) == 1.0
    assert rouge_l([], ["a"]) == rouge_l(["a"], []) == 0.0
    assert rouge_l(["a", "b", "c"], ["c", "a", "b"]) == pytest.approx(2 / 3)


def test_words_are_lower_case_words_and_numbers() -> None:
    assert words("Don't add 3.5 to X_1!") == ["don", "t", "add", "3", "5", "to", "x", "1"]


def test_normal_form_ignores_case_and_spacing_only() -> None:
    assert normalise(" Add\n\tone  ", "AND two") == "add one and two"
    assert normalise("a+b") != normalise("a b")


def test_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 2) == {("a", "b"), ("b", "c")}
    assert ngrams(["a"], 2) == set()
