"""Comparing texts: normal form, words, n-grams, ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

_WORD = re.compile(r"[a-z0-9]+")


def normalise(*parts: str) -> str:
    """Return the parts as one text without what does not make a task another one: case, spacing."""
    return " ".join(" ".join(parts).casefold().split())


def words(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text."""
    return _WORD.findall(text.casefold())


def ngrams(tokens: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """Return all runs of ``n`` tokens."""
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the ROUGE-L F1 of two token lists, in 0..1 (Lin 2004)."""
    if not a or not b:
        return float(len(a) == len(b))
    return 2 * LCSseq.similarity(a, b) / (len(a) + len(b))
