"""Which tokens spell a text, and which text each token stands for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

from selfmoe.contracts.lines import plain_lines
from selfmoe.models.tokens import text_ids

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What tokenizers decode the first bytes of a character to."""


def spelled(tokenizer: Any, ids: Sequence[int], text: str) -> list[int]:
    """Return the tokens of a text that tokens begin with: the last one may reach beyond it.

    Args:
        tokenizer: Their tokenizer.
        ids: Tokens that were written.
        text: What they begin with; its lines end in plain newlines.
    """
    for count in range(len(ids), 0, -1):
        begun = plain_lines(tokenizer.decode(list(ids[:count]), skip_special_tokens=True))
        if text.startswith(begun):
            return [*ids[:count], *text_ids(tokenizer, text[len(begun) :], after=begun)]
    return text_ids(tokenizer, text)


def text_behind(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of tokens that go on behind a line, its lines ended by plain newlines.

    Where they open a text, some tokenizers decode them without the space that they begin with.

    Args:
        tokenizer: Their tokenizer.
        ids: The tokens.
    """
    before = text_ids(tokenizer, "\n")
    line, whole = (
        tokenizer.decode(some, skip_special_tokens=True) for some in (before, [*before, *ids])
    )
    return plain_lines(whole[len(line) :])


def texts_of(tokenizer: Any, ids: Sequence[int], before: Sequence[int] = ()) -> list[str]:
    """Return the text that each token adds; together they are the text of all.

    A character of several tokens belongs to the last of them.

    Args:
        tokenizer: Their tokenizer.
        ids: The tokens.
        before: What they go on behind: the first word of a text can be decoded otherwise.
    """
    start = len(before)
    every = [*before, *ids]
    whole = tokenizer.decode(every)
    begun = [tokenizer.decode(every[:end]) for end in range(start, len(every))]
    ends = [*(_shared(text.rstrip(_UNFINISHED), whole) for text in begun), len(whole)]
    return [whole[a:b] for a, b in pairwise(ends)]


def _shared(one: str, other: str) -> int:
    """Return how many characters both texts begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
