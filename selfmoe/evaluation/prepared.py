"""What is the same for every system that is asked a benchmark: its prompts and their tokens."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from selfmoe.store.shards import Row

_MOST = 256 * 2**20
"""Bytes of prompts, and of tokens, that are kept at the most."""
_TOKEN = 4  # bytes
_ENTRY = 200  # bytes that an entry takes beside what it holds


class Encodings:
    """Tokens of texts, made once; what goes beyond a size is made anew each time.

    Args:
        most: Bytes that are kept at the most.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._left = most
        self._kept: dict[bytes, array[int]] = {}

    def of(self, texts: Sequence[str], make: Callable[[], Sequence[int]]) -> list[int]:
        """Return the tokens that some texts decide on.

        Args:
            texts: What decides on them.
            make: Makes them.
        """
        told = " ".join([*(str(len(text)) for text in texts), *texts])
        key = hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()
        if key in self._kept:
            return list(self._kept[key])
        found = list(make())
        size = _ENTRY + _TOKEN * len(found)
        if size <= self._left:
            self._left -= size
            self._kept[key] = array("i", found)
        return found


class Prepared:
    """Prompts of benchmarks and their tokens, kept from one system to the next.

    Args:
        most: Bytes of prompts, and of tokens, that are kept at the most.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = self._left = most
        self._rows: dict[Hashable, list[Row]] = {}
        self._owners: dict[int, Any] = {}  # an object that is kept shares its id with no other
        self._encodings: dict[tuple[int, int], Encodings] = {}

    def rows(
        self, owners: Sequence[Any], settings: Hashable, make: Callable[[], list[Row]]
    ) -> list[Row]:
        """Return what is known of the items of a benchmark before a model is asked.

        Args:
            owners: The objects that decide on it, such as the benchmark.
            settings: What else does.
            make: Makes it; nobody changes it afterwards.
        """
        key = (tuple(map(id, owners)), settings)
        if key in self._rows:
            return self._rows[key]
        rows = make()
        size = sum(_ENTRY + len(row["prompt"]) for row in rows)
        if size <= self._left:
            self._left -= size
            self._own(owners)
            self._rows[key] = rows
        return rows

    def encodings(self, model: Any, tokenizer: Any) -> Encodings:
        """Return the tokens of texts for one model."""
        self._own((model, tokenizer))
        return self._encodings.setdefault((id(model), id(tokenizer)), Encodings(self._most))

    def _own(self, owners: Sequence[Any]) -> None:
        self._owners.update({id(owner): owner for owner in owners})
