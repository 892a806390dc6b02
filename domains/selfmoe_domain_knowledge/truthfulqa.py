"""TruthfulQA (https://github.com/sylinrl/TruthfulQA), asked as lm-eval's `truthfulqa_mc2` asks it.

The file is `TruthfulQA.csv`; its columns "Correct Answers" and "Incorrect Answers", parted by
semicolons, make the options, as in the hub's `multiple_choice`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, ScoredSplit
from selfmoe.kits.domains import UpstreamBenchmark, csv_rows, hub_rows, locate, stock_settings, tidy

Doc = Mapping[str, Any]

_COLUMNS = (
    "type", "category", "question", "best answer", "correct answers", "incorrect answers", "source",
)  # fmt: skip
_LATER = (*_COLUMNS[:4], "best incorrect answer", *_COLUMNS[4:])
_STOCK = "truthfulqa/truthfulqa_mc1.yaml"


class TruthfulQA(UpstreamBenchmark):
    """How much of the probability of all options lies on the true ones (mc2); no examples.

    The score of a question is a share in 0..1, not only 0 or 1. The six questions and answers that
    open every prompt are lm-eval's and none of the items.

    Differs from lm-eval's `truthfulqa_mc2`: an option that is listed twice counts once, and one
    that is listed both as true and as false is left out. From the file, options stand in the order
    of its columns.
    """

    name = "truthfulqa"
    hub = "truthfulqa/truthful_qa"
    role = "non-target"
    splits = ("test",)
    max_new_tokens = 32
    rule = "The score is the share of the options' probability that lies on true ones."

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the one file."""
        return [locate(self.data_dir, "truthfulqa", "TruthfulQA.csv")]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return all questions; there are none for tuning.

        Raises:
            DataError: If the data is missing or malformed, or those for tuning are asked for.
        """
        if split != "test":
            raise DataError(
                "TruthfulQA has no items for tuning\n"
                "  Set evaluate.split=test, or leave it out of evaluate.benchmarks."
            )
        return self._from_hub() if self.remote else self._from_file(*self.paths(split))

    def ask(self, doc: Doc) -> Instruction:
        """Return the question as a task without input."""
        return Instruction(tidy(doc["question"]))

    def preamble(self, doc: Doc) -> str:
        """Return the questions and answers that open lm-eval's prompt."""
        return f"{_primer()}\n\n"

    def plain(self, doc: Doc) -> str:
        """Return the question in the layout of lm-eval's task."""
        return f"Q: {doc['question']}\nA:"

    def choices(self, doc: Doc) -> Sequence[str]:
        """Return true options, then false ones."""
        return [*doc["true"], *doc["false"]]

    def weigh(self, doc: Doc, chances: Sequence[float]) -> Mapping[str, float]:
        """Return the share of probability on the true options."""
        highest = max(chances)
        shares = [math.exp(chance - highest) for chance in chances]
        return {"score": min(1.0, sum(shares[: len(doc["true"])]) / sum(shares))}

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return 1 for a true option."""
        return {"score": float(completion in doc["true"])}

    def gold(self, doc: Doc) -> str:
        """Return the first true option."""
        return str(doc["true"][0])

    def wrong(self, doc: Doc) -> str:
        """Return the first false option."""
        return str(doc["false"][0])

    def _from_file(self, path: Path) -> list[dict[str, Any]]:
        columns = _LATER if _is_later(path) else _COLUMNS
        rows = [dict(zip(columns, row, strict=True)) for row in csv_rows(path, columns)]
        return [
            _doc(
                row["question"],
                row["correct answers"].split(";"),
                row["incorrect answers"].split(";"),
                number,
                str(path),
            )
            for number, row in enumerate(rows)
        ]

    def _from_hub(self) -> list[dict[str, Any]]:
        docs = []
        for number, row in enumerate(hub_rows(self.hub, "multiple_choice", "validation")):
            targets = row["mc2_targets"]
            marked = list(zip(targets["choices"], targets["labels"], strict=True))
            true, false = ([text for text, label in marked if label == n] for n in (1, 0))
            docs.append(_doc(row["question"], true, false, number, self.hub))
        return docs


def _is_later(path: Path) -> bool:
    """Return whether a file has the column that was added in 2025."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return "best incorrect answer" in file.readline().lower()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from None


def _doc(
    question: str, true: Iterable[str], false: Iterable[str], number: int, source: str
) -> dict[str, Any]:
    listed = [list(dict.fromkeys(o.strip() for o in side if o.strip())) for side in (true, false)]
    both = set(listed[0]) & set(listed[1])
    right, wrong = ([option for option in side if option not in both] for side in listed)
    if not question.strip() or not right or not wrong:
        raise DataError(
            f"{source}, item {number + 1}: a question, a true and a false answer are needed"
        )
    return {
        "id": f"truthfulqa-{number}",
        "question": question,
        "true": right,
        "false": wrong,
    }


@cache
def _primer() -> str:
    """Return the six questions and answers of lm-eval's task.

    Raises:
        DataError: If this version of lm-eval writes them in another way.
    """
    text = str(stock_settings(_STOCK).get("doc_to_text"))
    found = re.search(r"prompt_qa\s*=\s*'(.*?)'\s*%\}", text, re.DOTALL)
    if found is None:
        raise DataError(
            f"lm-eval's {_STOCK} no longer holds the questions that open the prompt\n"
            "  Install the version that constraints.txt of selfmoe names."
        )
    return found[1]
