"""When a continuation ends: at a token that ends texts, or at a string."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from selfmoe.contracts.lines import plain_lines
from selfmoe.models.generation.records import Continuation, Row
from selfmoe.models.spelling import spelled


class Stops:
    """What ends a continuation.

    Only what ends with a token that could complete a string is decoded: a step costs one look-up.

    Args:
        tokens: Tokens that end one.
        strings: Strings that end one.
        tokenizer: What decodes, if there are strings.

    Attributes:
        strings: The same.
    """

    def __init__(
        self, tokens: Iterable[int] = (), strings: Sequence[str] = (), tokenizer: Any = None
    ) -> None:
        self._ends, self.strings, self._tokenizer = set(tokens), tuple(strings), tokenizer
        # A line may end with two characters where the string has one.
        sizes = (len(string.encode()) + string.count("\n") for string in strings)
        self._window = max(sizes, default=0) + 1
        last = {string[-1] for string in strings}
        characters = frozenset(last | ({"\r"} if "\n" in last else set()))
        self._may_end = _tokens_with(tokenizer, characters) if strings else None

    def ended(self, new: Sequence[int]) -> bool:
        """Return whether the last of these new tokens ends the continuation."""
        token = new[-1]
        return self.ends(token) or (self._completes(token) and self._stops(new))

    def ends(self, token: int) -> bool:
        """Return whether a token ends a continuation and is no part of its text."""
        return token in self._ends

    def _completes(self, token: int) -> bool:
        known = self._may_end
        return known is not None and bool(known[min(token, len(known) - 1)])

    def _stops(self, new: Sequence[int]) -> bool:
        text = plain_lines(self._tokenizer.decode(list(new[-self._window :])))
        return any(string in text for string in self.strings)

    def continuation(self, row: Row, tokenizer: Any) -> Continuation:
        """Return what the new tokens of a row stand for."""
        ids = row.new
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        text = plain_lines(tokenizer.decode(ids[:end], skip_special_tokens=True))
        cuts = [text.index(string) for string in self.strings if string in text]
        finished = end is not None or bool(cuts)
        shown = text[: min(cuts)] if cuts else text
        spelling = spelled(tokenizer, ids[:end], shown) if cuts else ids[:end]
        return Continuation(shown, finished, tuple(ids), row.margin, tuple(spelling))


def ends_of(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end a text; some models have several, and others name none."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}


_TOKENS_WITH: OrderedDict[tuple[int, frozenset[str]], tuple[Any, list[bool]]] = OrderedDict()
_TEXTS: OrderedDict[int, tuple[Any, list[str]]] = OrderedDict()
_KEPT = {"sets": 64, "tokenizers": 4}
"""How many sets of characters, and texts of how many tokenizers, are kept at the most."""


def _tokens_with(tokenizer: Any, characters: frozenset[str]) -> list[bool]:
    """Return for every token id whether its text holds one of the characters."""
    key = (id(tokenizer), characters)
    known = _TOKENS_WITH.get(key)
    if known is None:
        ends = [not characters.isdisjoint(text) for text in _texts(tokenizer)]
        known = (tokenizer, ends)  # holding it keeps its id from being reused
        _keep(_TOKENS_WITH, key, known, _KEPT["sets"])
    return known[1]


def _texts(tokenizer: Any) -> list[str]:
    """Return the text of every token."""
    known = _TEXTS.get(id(tokenizer))
    if known is None:
        known = (tokenizer, tokenizer.batch_decode([[i] for i in range(len(tokenizer))]))
        _keep(_TEXTS, id(tokenizer), known, _KEPT["tokenizers"])
    return known[1]


def _keep(store: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Keep something, and no more than so many things: the oldest go."""
    store[key] = value
    while len(store) > most:
        store.popitem(last=False)
