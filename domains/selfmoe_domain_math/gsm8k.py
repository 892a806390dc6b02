"""GSM8K (https://github.com/openai/grade-school-math), asked as lm-eval's `gsm8k_cot` asks it.

Seeds come from the training set, items from the test set. For tuning (`split="dev"`), every tenth
training problem is an item; those are never seeds, whichever split is scored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, ScoredSplit, Seed, Source
from selfmoe.kits.domains import (
    UpstreamBenchmark,
    final_number,
    hub_rows,
    jsonl_rows,
    locate,
    marked_number,
    stock_settings,
    tidy,
)

Doc = Mapping[str, Any]

_FIELDS = ("question", "answer")
_MARK = re.compile(r"####|The answer is\b")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_DEV_EVERY = 10


class GSM8K(UpstreamBenchmark):
    """Eight solved examples with chain of thought, then the question; the final number decides.

    ``score`` asks for a marked answer ("The answer is N" or "#### N", the first one counts);
    ``lenient`` takes "the answer is N" anywhere in a sentence, too, or else the last number.

    Differs from lm-eval's `gsm8k_cot`: "#### N" is a mark, too, as in the data itself; numbers are
    compared as numbers, whole and in any notation, so "1{,}200.00" is "1200"; a problem of the
    training file is an item when tuning.
    """

    name = "gsm8k"
    hub = "openai/gsm8k"
    shots = 8
    max_new_tokens = 256
    stop = ("Q:", "</s>", "<|im_end|>")
    rule = "final-number"

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the test file; for tuning the training file."""
        return [_path(self.data_dir, "test" if split == "test" else "train")]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the test problems; for tuning every tenth training problem."""
        if split == "test":
            return _rows(self.source, "test")
        return _rows(self.source, "train")[_DEV_EVERY - 1 :: _DEV_EVERY]

    def examples(self) -> list[dict[str, Any]]:
        """Return the eight examples of `gsm8k_cot`."""
        return _exemplars()

    def ask(self, doc: Doc) -> Instruction:
        """Return the problem as a task without input."""
        return Instruction(tidy(doc["question"]))

    def plain(self, doc: Doc) -> str:
        """Return the question in the layout of `gsm8k_cot`."""
        return f"Q: {doc['question']}\nA:"

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score`` and ``lenient``, each 0 or 1."""
        right = final_number(self.gold(doc))
        return {
            "score": float(_marked(completion) == right),
            "lenient": float(self.extract(doc, completion) == right),
        }

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the marked number; without one that of a sentence, or else the last one."""
        return _marked(completion) or final_number(completion)

    def gold(self, doc: Doc) -> str:
        """Return the worked solution, which ends in its marked answer."""
        return str(doc["answer"])

    def wrong(self, doc: Doc) -> str:
        """Return a marked answer that is off by one."""
        right = final_number(self.gold(doc)) or "0"
        return f"The answer is {int(float(right)) + 1}."


def _marked(completion: str) -> str | None:
    """Return the number behind the first mark; within a sentence there is none."""
    mark = _MARK.search(completion)
    return marked_number(completion[mark.start() :]) if mark else None


def files(source: Source) -> list[Path]:
    """Return the training file; none if the hub is asked.

    Raises:
        MissingDataError: If it is missing.
    """
    return [] if source.data_dir is None else [_path(source.data_dir, "train")]


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` training problems with their solutions.

    Raises:
        DataError: If the data is missing, malformed, or has fewer problems.
    """
    rows = [row for i, row in enumerate(_rows(source, "train"), start=1) if i % _DEV_EVERY]
    if n > len(rows):
        raise DataError(
            f"GSM8K has {len(rows)} training problems for seeds, not {n}; lower seeds.n"
        )
    return [
        Seed(row["id"], tidy(row["question"]), "", tidy(row["answer"]))
        for row in rng.sample(rows, n)
    ]


def _rows(source: Source, split: str) -> list[dict[str, Any]]:
    if source.data_dir is None:
        where, rows = f"{GSM8K.hub} ({split})", hub_rows(GSM8K.hub, "main", split)
    else:
        path = _path(source.data_dir, split)
        where, rows = str(path), jsonl_rows(path, _FIELDS)
    return [_row(row, f"gsm8k-{split}-{i}", f"{where}, item {i + 1}") for i, row in enumerate(rows)]


def _path(data_dir: Path, split: str) -> Path:
    return locate(data_dir, "gsm8k", f"{split}.jsonl")


def _row(row: Mapping[str, Any], identity: str, where: str) -> dict[str, Any]:
    answer = _CALCULATOR.sub("", row["answer"])
    if "####" not in answer or marked_number(answer) is None:
        raise DataError(f"{where}: field 'answer' must end in '#### ' and a number")
    return {"id": identity, "question": row["question"], "answer": answer}


def _exemplars() -> list[dict[str, Any]]:
    """Return the eight examples of Wei et al. 2022 (arXiv 2201.11903) that lm-eval carries."""
    name = "gsm8k/gsm8k-cot.yaml"
    try:
        samples = stock_settings(name)["fewshot_config"]["samples"]
    except (KeyError, TypeError) as error:
        raise DataError(f"lm-eval's {name} has no examples: {error!r}") from None
    return [
        {"id": f"gsm8k-cot-{i}", "question": sample["question"], "answer": sample["target"]}
        for i, sample in enumerate(samples)
    ]
