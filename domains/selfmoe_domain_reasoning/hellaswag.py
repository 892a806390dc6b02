"""HellaSwag (https://github.com/rowanz/hellaswag): which ending goes on.

Items are the validation set; upstream keeps the labels of the test set to itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from selfmoe.contracts import DataError, Instruction, ScoredSplit
from selfmoe.kits.domains import hub_rows, jsonl_rows, locate, tidy
from selfmoe_domain_reasoning.options import Options

Doc = Mapping[str, Any]

_NOTE = re.compile(r"\[.*?\]")
_INSTRUCTION = "Continue the text with what happens next."


class HellaSwag(Options):
    """Four endings, decided by their log-likelihood per character; no examples.

    ``score`` is lm-eval's ``acc_norm``. Texts from WikiHow carry marks such as ``[step]``; they
    are removed as lm-eval removes them.

    Differs from lm-eval's ``hellaswag``: nothing; its ``acc`` is not given.
    """

    name = "hellaswag"
    hub = "Rowan/hellaswag"
    rule = "The ending with the highest log-likelihood per character."

    def paths(self, split: ScoredSplit) -> Sequence[Path]:
        """Return the one file."""
        return [locate(self.data_dir, "hellaswag", "hellaswag_val.jsonl")]

    def read(self, split: ScoredSplit) -> Sequence[Doc]:
        """Return the items."""
        if self.source.data_dir is None:
            where, rows = self.hub, hub_rows(self.hub, None, "validation")
        else:
            (path,) = self.paths(split)
            where, rows = str(path), jsonl_rows(path, ("activity_label",))
        return [_doc(row, i, f"{where}, item {i + 1}") for i, row in enumerate(rows)]

    def ask(self, doc: Doc) -> Instruction:
        """Return the text to continue as the input of a task."""
        return Instruction(_INSTRUCTION, tidy(doc["query"]))

    def plain(self, doc: Doc) -> str:
        """Return the text to continue."""
        return str(doc["query"])

    def pick(self, doc: Doc, chances: Sequence[float]) -> int:
        """Return the ending that is likeliest per character; of equal ones the first."""
        lengths = [len(ending) for ending in doc["choices"]]
        shares = [chance / length for chance, length in zip(chances, lengths, strict=True)]
        return max(range(len(shares)), key=shares.__getitem__)


def _doc(row: Mapping[str, Any], number: int, where: str) -> dict[str, Any]:
    for field in ("activity_label", "ctx_a", "ctx_b"):
        if not isinstance(row.get(field), str):
            raise DataError(f"{where}: field '{field}' is missing or no text")
    endings, label = row.get("endings"), str(row.get("label"))
    if not _is_texts(endings) or len(endings) != 4:
        raise DataError(f"{where}: field 'endings' must be a list of four texts")
    if label not in tuple("0123"):
        raise DataError(f"{where}: label '{label}' is none of 0, 1, 2, 3")
    opening = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return {
        "id": f"hellaswag-val-{number}",
        "query": _clean(opening),
        "choices": [_clean(ending) for ending in endings],
        "label": int(label),
    }


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(t, str) and _clean(t) for t in value)


def _clean(text: str) -> str:
    """Return a text without WikiHow's marks, as lm-eval prepares it."""
    return _NOTE.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")
