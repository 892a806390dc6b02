"""Comparing texts: normal form, words, n-grams, ROUGE-L.

What a word is says ``selfmoe.contracts.words``, for every script.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import regex
from rapidfuzz.distance import LCSseq

from selfmoe.contracts.words import bare, fold, runs, spans, words

__all__ = ["holds", "ngrams", "normalise", "rouge_l", "trimmed", "words"]

_OUTER = regex.compile(r"[\s\p{Terminal_Punctuation}\p{Quotation_Mark}¿¡]")
_LETTER = regex.compile(r"[\w\p{M}]")


def normalise(*parts: str) -> str:
    """Return the parts as one text without what does not make a task another one.

    That is case, spacing, and what is the same character in another form, such as full-width ones.
    """
    return " ".join(fold(" ".join(parts)).split())


def trimmed(text: str) -> str:
    """Return a text without outer space, quotation marks and the punctuation that ends phrases."""
    return text.strip("".join(_OUTER.findall(text)))


def holds(text: str, part: str) -> bool:
    """Return whether a part stands in a text as whole words, whatever the script."""
    text, part = bare(text), bare(part)
    found = spans(text)
    within = {at for start, end in found for at in range(start + 1, end)}
    met = {end for (_, end), (start, _) in pairwise(found) if start == end}

    def free(at: int, beside: str) -> bool:
        return at not in within and (at in met or not _LETTER.match(beside))

    return any(
        free(start, text[start - 1 : start]) and free(end, text[end : end + 1])
        for start, end in _places(text, part)
    )


def ngrams(tokens: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """Return all runs of tokens that are ``n`` words long.

    In scripts without spaces these are more than ``n`` tokens; see
    ``selfmoe.contracts.words.size``.
    """
    return set(runs(tokens, n))


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the ROUGE-L F1 of two token lists, in 0..1 (Lin 2004)."""
    if not a or not b:
        return float(len(a) == len(b))
    return 2 * LCSseq.similarity(a, b) / (len(a) + len(b))


def _places(text: str, part: str) -> Iterator[tuple[int, int]]:
    """Yield where a part stands in a text."""
    start = text.find(part)
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + 1)
