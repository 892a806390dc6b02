"""PubMedQA (https://pubmedqa.github.io), its 1,000 questions with answers by experts.

The file is upstream's `ori_pqal.json`, in folder `pubmedqa`; the hub has the same questions. Which
of them are for testing is upstream's decision (`test_ids.txt`, from its `test_ground_truth.json`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, ScoredSplit, Seed, Source
from selfmoe.kits.domains import UpstreamBenchmark, hub_rows, json_file, locate, short, tidy

Doc = Mapping[str, Any]

ANSWERS = ("yes", "no", "maybe")
_INSTRUCTION = "Answer the question about the abstract with yes, no or maybe."


class PubMedQA(UpstreamBenchmark):
    """Yes, no or maybe, decided by log-likelihood; no examples.

    Items are the 500 of the official test set. Of the 500 others, those whose PubMed id ends in 0
    are for tuning; what is left is for seeds, and for examples where some are asked for.

    Differs from lm-eval's `pubmedqa`: only the tuning items, which are not those of its fold 0.
    """

    name = "pubmedqa"
    hub = "qiaojin/PubMedQA"
    max_new_tokens = 4
    rule = "short"

    def paths(self, split: ScoredSplit) -> Sequence[Path]:
        """Return the one file."""
        return [locate(self.data_dir, "pubmedqa", "ori_pqal.json")]

    def read(self, split: ScoredSplit) -> list[Doc]:
        """Return the items of a split.

        Raises:
            DataError: If the file has none.
        """
        found = [doc for doc in self._docs if doc["split"] == split]
        if not found:
            raise DataError(
                f"{self._where} holds no item of split '{split}'\n  Was the download complete?"
            )
        return found

    def examples(self) -> list[Doc]:
        """Return the questions that are in no scored split."""
        return [doc for doc in self._docs if doc["split"] == "train"]

    def ask(self, doc: Doc) -> Instruction:
        """Return abstract and question as the input of a task."""
        return Instruction(_INSTRUCTION, tidy(f"{doc['abstract']}\nQuestion: {doc['question']}"))

    def plain(self, doc: Doc) -> str:
        """Return abstract, question and "Answer:"."""
        return f"Abstract: {doc['abstract']}\nQuestion: {doc['question']}\nAnswer:"

    def choices(self, doc: Doc) -> Sequence[str]:
        """Return the three answers."""
        return ANSWERS

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return 1 for the experts' answer."""
        return {"score": float(short(completion) == doc["answer"])}

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the answer in the form that is compared."""
        return short(completion)

    def gold(self, doc: Doc) -> str:
        """Return the experts' answer."""
        return str(doc["answer"])

    def wrong(self, doc: Doc) -> str:
        """Return another answer."""
        return "no" if doc["answer"] == "yes" else "yes"

    @cached_property
    def _where(self) -> str:
        return self.hub if self.remote else str(*self.paths("test"))

    @cached_property
    def _docs(self) -> list[Doc]:
        """All questions, in the order of the source."""
        if self.remote:
            rows = {
                str(row["pubid"]): {**row, "context": row["context"]["contexts"]}
                for row in hub_rows(self.hub, "pqa_labeled", "train")
            }
            fields = ("question", "context", "final_decision")
        else:
            rows = json_file(*self.paths("test"))
            fields = ("QUESTION", "CONTEXTS", "final_decision")
        if not isinstance(rows, dict):
            raise DataError(f"{self._where} is no PubMedQA file: questions by PubMed id expected")
        return [_doc(number, row, fields, self._where) for number, row in rows.items()]


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` of the questions that are in no scored split.

    Raises:
        DataError: If the data is missing, malformed, or has fewer of them.
    """
    benchmark = PubMedQA(source)
    docs = benchmark.examples()
    if n > len(docs):
        raise DataError(f"PubMedQA has {len(docs)} questions for seeds, not {n}; lower seeds.n")
    asked = [(doc, benchmark.ask(doc)) for doc in rng.sample(docs, n)]
    return [Seed(doc["id"], task.instruction, task.input, doc["answer"]) for doc, task in asked]


@cache
def official_ids() -> frozenset[str]:
    """Return the PubMed ids of the official test set."""
    return frozenset(files(__package__).joinpath("test_ids.txt").read_text("utf-8").split())


def _split(number: str) -> str:
    if number in official_ids():
        return "test"
    return "dev" if number.endswith("0") else "train"


def _doc(number: str, row: Any, fields: tuple[str, str, str], where: str) -> dict[str, Any]:
    question, abstract, answer = (row.get(f) if isinstance(row, dict) else None for f in fields)
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"{where}, item {number}: field '{fields[0]}' is missing or no text")
    if not isinstance(abstract, list) or not all(isinstance(text, str) for text in abstract):
        raise DataError(f"{where}, item {number}: field '{fields[1]}' must be a list of texts")
    if answer not in ANSWERS:
        raise DataError(f"{where}, item {number}: answer '{answer}' is none of yes, no, maybe")
    return {
        "id": f"pubmedqa-{number}",
        "split": _split(number),
        "question": question,
        "abstract": "\n".join(abstract),
        "answer": answer,
    }
