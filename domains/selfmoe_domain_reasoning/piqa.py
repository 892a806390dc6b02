"""PIQA (https://github.com/ybisk/ybisk.github.io/tree/master/piqa): two ways to do a thing.

Items are the validation set; upstream keeps the labels of the test set to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, ScoredSplit
from selfmoe.kits.domains import hub_rows, jsonl_rows, locate, tidy
from selfmoe_domain_reasoning.options import Options

Doc = Mapping[str, Any]

_FIELDS = ("goal", "sol1", "sol2")


class PIQA(Options):
    """Two solutions, decided by their log-likelihood; no examples.

    ``score`` is lm-eval's ``acc``: the likelier solution, whatever the lengths.

    Differs from lm-eval's ``piqa``: nothing; its ``acc_norm`` is not given.
    """

    name = "piqa"
    hub = "baber/piqa"
    rule = "The option with the higher log-likelihood."

    def paths(self, split: ScoredSplit) -> Sequence[Path]:
        """Return the file of the items and that of the labels."""
        return [locate(self.data_dir, "piqa", name) for name in ("valid.jsonl", "valid-labels.lst")]

    def read(self, split: ScoredSplit) -> Sequence[Doc]:
        """Return the items.

        Raises:
            DataError: If the data is missing or malformed, or there is not one label an item.
        """
        if self.source.data_dir is None:
            rows = hub_rows(self.hub, None, "validation")
            return [_doc(row, i, str(row["label"]), self.hub) for i, row in enumerate(rows)]
        items, labels = self.paths(split)
        rows, marks = jsonl_rows(items, _FIELDS), labels.read_text("utf-8", "replace").split()
        if len(rows) != len(marks):
            raise DataError(f"{items} has {len(rows)} items, but {labels} has {len(marks)} labels")
        pairs = enumerate(zip(rows, marks, strict=True))
        return [_doc(row, i, mark, str(labels)) for i, (row, mark) in pairs]

    def ask(self, doc: Doc) -> Instruction:
        """Return the goal as a task without input."""
        return Instruction(tidy(doc["goal"]))

    def plain(self, doc: Doc) -> str:
        """Return "Question:" and the goal, then "Answer:"."""
        return f"Question: {doc['goal']}\nAnswer:"


def _doc(row: Mapping[str, Any], number: int, label: str, where: str) -> dict[str, Any]:
    if label not in ("0", "1"):
        raise DataError(f"{where}, item {number + 1}: label '{label}' is neither 0 nor 1")
    choices = [row["sol1"], row["sol2"]]
    return {
        "id": f"piqa-valid-{number}",
        "goal": row["goal"],
        "choices": choices,
        "label": int(label),
    }
