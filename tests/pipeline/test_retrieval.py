"""Passages of domain text: how documents are cut, what is found for a task, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import PassageRef
from selfmoe.pipeline.retrieval import K1, B, Finder, Passage, read_passages


def passages(*texts: str) -> list[Passage]:
    return [Passage(PassageRef("a.txt", n, ""), text) for n, text in enumerate(texts, start=1)]


def bm25(texts: list[list[str]], query: list[str]) -> list[float]:
    """Return the score of every text: the formula of BM25 with Lucene's idf, word for word."""
    n, mean = len(texts), sum(map(len, texts)) / len(texts)
    df = {q: sum(q in text for text in texts) for q in query}
    idf = {q: math.log(1 + (n - df[q] + 0.5) / (df[q] + 0.5)) for q in query}
    k = [K1 * (1 - B + B * len(text) / mean) for text in texts]
    return [
        sum(idf[q] * text.count(q) / (text.count(q) + k[i]) for q in query)
        for i, text in enumerate(texts)
    ]


# --- ranking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_that_of_bm25(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(12)]
    texts = [rng.choices(vocabulary, k=rng.randint(1, 15)) for _ in range(30)]
    query = rng.choices([*vocabulary, "unknown"], k=rng.randint(1, 6))
    scores = bm25(texts, query)
    best = sorted((i for i in range(30) if scores[i] > 0), key=lambda i: (-round(scores[i], 9), i))
    for n in (1, 3, 30):
        found = Finder(passages(*map(" ".join, texts))).find(" ".join(query), n)
        assert [one.ref.number - 1 for one in found] == best[:n]


def test_equal_passages_stand_in_reading_order() -> None:
    found = Finder(passages("b c", "a c", "b", "a c", "a c")).find("a", 4)
    assert [one.ref.number for one in found] == [2, 4, 5]


def test_what_shares_no_word_is_not_found() -> None:
    finder = Finder(passages("The pancreas makes insulin.", "The liver makes bile."))
    assert [one.ref.number for one in finder.find("INSULIN?", 3)] == [1]
    assert finder.find("heart", 3) == finder.find("?!", 3) == finder.find("", 3) == []


def test_words_of_other_alphabets_are_words() -> None:
    finder = Finder(passages("Die Niere filtert Blut.", "Сердце качает кровь.", "Müßige Größe"))
    assert [one.ref.number for one in finder.find("Что качает сердце?", 1)] == [2]
    assert [one.ref.number for one in finder.find("MÜSSIGE", 1)] == [3]


# --- documents ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_text("One two three\nfour five.\n \n\nSix.\n\n---\n", "utf-8")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.MD").write_text("# Head\n\nSeven eight.\n\n## Other\nNine.\n", "utf-8")
    rows = [{"text": "Ten.\n\nEleven.", "id": 3}, {"text": "Twelve."}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "d.pdf").write_bytes(b"\xff\x00")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "e.txt").write_text("No.", "utf-8")
    return tmp_path


def test_paragraphs_are_passages_and_long_ones_are_cut(folder: Path) -> None:
    found = read_passages(folder, words=4)
    assert [(one.ref.document, one.ref.number, one.text) for one in found] == [
        ("a.jsonl", 1, "Ten."),
        ("a.jsonl", 2, "Eleven."),
        ("a.jsonl", 3, "Twelve."),
        ("b.txt", 1, "One two three four"),
        ("b.txt", 2, "five."),
        ("b.txt", 3, "Six."),
        ("deep/c.MD", 1, "# Head Seven eight."),
        ("deep/c.MD", 2, "## Other Nine."),
    ]
    for one in found:
        assert one.ref.hash == hashlib.sha256(one.text.encode()).hexdigest()[:10]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, b"", "holds no documents"),
        ("a.pdf", b"text", "holds no documents"),
        ("a.txt", b"", "hold no text"),
        ("a.md", b"---\n\n***\n", "hold no text"),
        ("a.txt", b"fine\n\xff\xfe", r"a\.txt, line 2: not UTF-8"),
        ("a.txt", b"a\x00b", r"a\.txt is no text"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', r"a\.jsonl, item 2: field 'text'"),
        ("a.jsonl", b"text", r"a\.jsonl, line 1: not valid JSON"),
        ("a.jsonl", b"\n", "holds no items"),
    ],
)
def test_bad_documents_are_one_clear_error(
    tmp_path: Path, name: str | None, content: bytes, message: str
) -> None:
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_passages(tmp_path, 100)


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_passages(tmp_path / "nowhere", 100)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match="is a file"):
        read_passages(tmp_path / "a.txt", 100)
