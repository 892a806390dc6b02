"""NQ-open (https://github.com/google-research-datasets/natural-questions, folder `nq_open`).

Files are `NQ-open.dev.jsonl` and, optionally, `NQ-open.train.jsonl`: `question` and a list
`answer`. Examples come from the training file; without it, the last 25 questions of the dev file
are shown instead of asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfmoe.contracts import MissingDataError, ScoredSplit, normalise
from selfmoe.kits.domains import hub_rows, jsonl_rows, locate
from selfmoe_domain_knowledge.short_answers import ShortAnswers, checked_answers

Doc = Mapping[str, Any]

_SHOWN = 25
_TUNED = 500


class NQOpen(ShortAnswers):
    """Real questions to a search engine, closed book; five solved examples.

    ``score`` is the exact match of the first line with one of the answers; ``lenient`` also takes
    what stands before its first full stop or comma. Items are the dev questions, for tuning the
    500 training questions after the first 25, which are the pool of examples.

    Differs from lm-eval's `nq_open`: the examples are the first five of the training file, or of
    the reserved questions, instead of random ones; generation stops at the line's end only (lm-eval
    also at "." and ",", see ``lenient``); articles are dropped wherever they stand; up to 32 new
    tokens instead of 256.
    """

    name = "nq-open"
    hub = "google-research-datasets/nq_open"
    separator = "\n"

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the dev file and, if it is there, the training file; for tuning only that."""
        if split == "dev":
            return [self._path("train")]
        return [self._path("dev"), *([self._path("train")] if self._has_train() else [])]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the dev questions that are not shown; for tuning training questions."""
        if split == "dev":
            return self._rows("train")[_SHOWN : _SHOWN + _TUNED]
        shown = {normalise(doc["question"]) for doc in self.pool}
        return [doc for doc in self._rows("dev") if normalise(doc["question"]) not in shown]

    def examples(self) -> list[dict[str, Any]]:
        """Return the first 25 training questions, or the last 25 of the dev file."""
        return self._rows("train")[:_SHOWN] if self._has_train() else self._rows("dev")[-_SHOWN:]

    def facts(self) -> Mapping[str, Any]:
        """Return where the examples are from."""
        return {"examples_from": "train" if self._has_train() else "reserved dev questions"}

    def preamble(self, doc: Doc) -> str:
        """Return the line that opens the prompt."""
        return "Answer these questions:\n\n"

    def plain(self, doc: Doc) -> str:
        """Return the question in the layout of lm-eval's task."""
        return f"Q: {doc['question']}?\nA:"

    def _has_train(self) -> bool:
        try:
            return self.remote or self._path("train").exists()
        except MissingDataError:
            return False

    def _path(self, split: str) -> Path:
        return locate(self.data_dir, "nq_open", f"NQ-open.{split}.jsonl")

    def _rows(self, split: str) -> list[dict[str, Any]]:
        if self.remote:
            where = f"{self.hub} ({split})"
            rows = hub_rows(self.hub, None, "validation" if split == "dev" else split)
        else:
            path = self._path(split)
            where, rows = str(path), jsonl_rows(path, ("question",))
        return [
            {
                "id": f"nq-open-{split}-{i}",
                "question": row["question"],
                "answers": checked_answers(
                    row.get("answer"), f"{where}, item {i + 1}: field 'answer'"
                ),
            }
            for i, row in enumerate(rows)
        ]
