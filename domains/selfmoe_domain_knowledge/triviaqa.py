"""TriviaQA (https://nlp.cs.washington.edu/triviaqa/) without its documents.

Files are those of the upstream archives, in folder `triviaqa`: `qa/web-dev.json` and
`qa/wikipedia-dev.json` of `triviaqa-rc`, which the hub's `rc.nocontext` is made of, or
`unfiltered-web-dev.json` of `triviaqa-unfiltered`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, MissingDataError, ScoredSplit
from selfmoe.kits.domains import hub_rows, json_file, locate
from selfmoe_domain_knowledge.short_answers import ShortAnswers, checked_answers

Doc = Mapping[str, Any]

_EDITIONS = {
    "rc": ("qa/web-dev.json", "qa/wikipedia-dev.json"),
    "unfiltered": ("triviaqa-unfiltered/unfiltered-web-dev.json",),
    "unfiltered, flat": ("unfiltered-web-dev.json",),
}
_SHOWN = 25
_DEV_EVERY = 20


class TriviaQA(ShortAnswers):
    """Trivia questions, closed book; five solved examples.

    ``score`` is the exact match of the first line with one of the answer's names; ``lenient`` also
    takes what stands before its first full stop or comma. Questions stand in the order of a hash of
    their id, which is the same for files and the hub: the first 25 are the pool of examples, of the
    others every twentieth is kept for tuning.

    Differs from lm-eval's `triviaqa`: examples and tuning items are taken from the validation
    questions, which are fewer by them; a question of both files is asked once; generation stops at
    the line's end only (lm-eval also at "." and ",", see ``lenient``); articles are dropped; names
    in the data set's normalised form are right, too; up to 32 new tokens instead of 256.
    """

    name = "triviaqa"
    hub = "mandarjoshi/trivia_qa"

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the files of the first edition that is there."""
        return self._edition()[1]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the questions of a split that are not shown."""
        rest = list(enumerate(self._rows[_SHOWN:]))
        return [doc for i, doc in rest if (i % _DEV_EVERY == 0) == (split == "dev")]

    def examples(self) -> list[dict[str, Any]]:
        """Return the first 25 questions."""
        return self._rows[:_SHOWN]

    def facts(self) -> Mapping[str, Any]:
        """Return which edition was read."""
        return {"edition": "rc.nocontext" if self.remote else self._edition()[0]}

    def plain(self, doc: Doc) -> str:
        """Return the question in the layout of lm-eval's task."""
        return f"Question: {doc['question']}?\nAnswer:"

    def _edition(self) -> tuple[str, list[Path]]:
        for edition, files in _EDITIONS.items():
            try:
                return edition, [locate(self.data_dir, "triviaqa", file) for file in files]
            except MissingDataError:
                continue
        raise MissingDataError(
            f"no TriviaQA files in {self.data_dir / 'triviaqa'}\n"
            "  Expected: qa/web-dev.json and qa/wikipedia-dev.json, or unfiltered-web-dev.json; "
            "or leave --data-dir out to fetch them from the hub."
        )

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        """All questions, in the order of their hash; the files are large, so they are kept."""
        docs: dict[str, dict[str, Any]] = {}
        for doc in self._from_hub() if self.remote else self._from_files():
            docs.setdefault(doc["id"], doc)
        return sorted(docs.values(), key=lambda doc: _hash(doc["id"]))

    def _from_files(self) -> Iterator[dict[str, Any]]:
        for path in self._edition()[1]:
            for number, row in enumerate(_data(path), start=1):
                where = f"{path}, item {number}"
                answer = row.get("Answer") if isinstance(row, dict) else None
                if not isinstance(answer, dict):
                    raise DataError(f"{where}: field 'Answer' is missing")
                names = answer.get("Aliases"), answer.get("NormalizedAliases", [])
                yield _doc(row.get("QuestionId"), row.get("Question"), names, where)

    def _from_hub(self) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(hub_rows(self.hub, "rc.nocontext", "validation"), start=1):
            names = row["answer"]["aliases"], row["answer"]["normalized_aliases"]
            yield _doc(row["question_id"], row["question"], names, f"{self.hub}, item {number}")


def _data(path: Path) -> list[Any]:
    content = json_file(path)
    rows = content.get("Data") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path} holds no items: field 'Data' must be a list of questions")
    return rows


def _doc(identity: Any, question: Any, names: tuple[Any, Any], where: str) -> dict[str, Any]:
    for field, value in (("QuestionId", identity), ("Question", question)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: field '{field}' is missing or no text")
    aliases = checked_answers(names[0], f"{where}: field 'Aliases'")
    others = checked_answers([*aliases, *(names[1] or [])], f"{where}: field 'NormalizedAliases'")
    return {"id": f"triviaqa-{identity}", "question": question.strip(), "answers": others}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
