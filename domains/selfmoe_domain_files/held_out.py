"""A benchmark of held-out tasks: the response must be the one in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.contracts import Benchmark, Instruction, holds, normalise, trimmed
from selfmoe_domain_files.rows import found, read

Doc = Mapping[str, Any]


class HeldOut(Benchmark):
    """Tasks of a file, asked as experts are trained.

    Strict: the completion is the response, but for case, spacing and outer punctuation. Lenient:
    the response stands somewhere in it, as whole words.
    """

    name = "held-out"
    rule = "The response itself, but for case, spacing and outer punctuation; leniently, anywhere."
    stop = ("\n\n",)

    def __init__(self, path: Path, domain: str, max_new_tokens: int) -> None:
        self._path, self._what = path, f"held-out tasks of domain '{domain}'"
        self.max_new_tokens = max_new_tokens

    def files(self) -> Sequence[Path]:
        """Return the file of tasks."""
        return [found(self._path, self._what)]

    @cached_property
    def items(self) -> Sequence[Doc]:
        """The tasks."""
        return [row._asdict() for row in read(self._path, self._what)]

    def ask(self, doc: Doc) -> Instruction:
        """Return the task."""
        return Instruction(doc["instruction"], doc["input"])

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return the strict ``score`` and the ``lenient`` one, each 0 or 1."""
        said, right = _plain(completion), _plain(doc["response"])
        return {"score": float(said == right), "lenient": float(bool(said) and holds(said, right))}

    def gold(self, doc: Doc) -> str:
        """Return the response."""
        return str(doc["response"])

    def wrong(self, doc: Doc) -> str:
        """Return words that no response is part of."""
        return "~"


def _plain(text: str) -> str:
    return trimmed(normalise(text)) or normalise(text)
