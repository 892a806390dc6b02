"""The text of an answer while it is written: what is told is never taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfmoe.contracts.lines import plain_lines

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What tokenizers decode the first bytes of a character to."""


class Growing:
    """The part of an answer's text that is sure.

    A stop string, or a character of which only the first bytes are there, may still become of what
    is left out.

    Args:
        tokenizer: The tokenizer.
        stop: Strings that end the answer.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop, self._told = tokenizer, stop, ""

    def more(self, tokens: Sequence[int]) -> str:
        """Return what has become sure since the last call, of the text of these tokens."""
        text = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return self._rest(self._sure(plain_lines(text.rstrip(_UNFINISHED).removesuffix("\r"))))

    def end(self, text: str) -> str:
        """Return what is missing of the whole text."""
        return self._rest(text)

    def _rest(self, text: str) -> str:
        if not text.startswith(self._told):
            return ""  # a decoder that changes its mind: the end will tell
        rest, self._told = text[len(self._told) :], text
        return rest

    def _sure(self, text: str) -> str:
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text a stop string begins with."""
    longest = min(len(text), len(stop))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
