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

from selfmoe.components import Benchmark
from selfmoe.datafiles import hub_rows, jsonl_rows, locate, tidy
from selfmoe.errors import DataError
from selfmoe.evaluation.answers import final_number, marked_number
from selfmoe.records import Instruction, Seed, Source

Doc = Mapping[str, Any]

_HUB, _CONFIG = "openai/gsm8k", "main"
_FIELDS = ("question", "answer")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_DEV_EVERY = 10


class GSM8K(Benchmark):
    """Eight solved examples with chain of thought, then the question; the final number decides.

    ``score`` asks for a marked answer ("The answer is N" or "#### N", the first one counts);
    ``lenient`` takes the last number of a completion that marks none.
    """

    name = "gsm8k"
    template = "plain"
    shots = 8
    max_new_tokens = 256
    stop = ("Q:", "</s>", "<|im_end|>")

    def __init__(self, source: Source) -> None:
        self.pool = _exemplars()
        if source.split == "test":
            self.items = _rows(source, "test")
        else:
            self.items = _rows(source, "train")[_DEV_EVERY - 1 :: _DEV_EVERY]

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
            "score": float(marked_number(completion) == right),
            "lenient": float(final_number(completion) == right),
        }

    def gold(self, doc: Doc) -> str:
        """Return the worked solution, which ends in its marked answer."""
        return str(doc["answer"])

    def wrong(self, doc: Doc) -> str:
        """Return a marked answer that is off by one."""
        right = final_number(self.gold(doc)) or "0"
        return f"The answer is {int(float(right)) + 1}."


def files(source: Source) -> list[Path]:
    """Return the training and the test file; none if the hub is asked.

    Raises:
        DataError: If they are missing.
    """
    if source.data_dir is None:
        return []
    return [locate(source.data_dir, "gsm8k", f"{split}.jsonl") for split in ("train", "test")]


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` training problems with their solutions.

    Raises:
        DataError: If the data is missing, malformed, or has fewer problems.
    """
    rows = [row for i, row in enumerate(_rows(source, "train"), start=1) if i % _DEV_EVERY]
    if n > len(rows):
        raise DataError(f"GSM8K has {len(rows)} training problems for seeds, {n} were asked for")
    return [
        Seed(row["id"], tidy(row["question"]), "", tidy(row["answer"]))
        for row in rng.sample(rows, n)
    ]


def _rows(source: Source, split: str) -> list[dict[str, Any]]:
    if source.data_dir is None:
        where, rows = f"{_HUB} ({split})", hub_rows(_HUB, _CONFIG, split)
    else:
        path = locate(source.data_dir, "gsm8k", f"{split}.jsonl")
        where, rows = str(path), jsonl_rows(path, _FIELDS)
    return [_row(row, f"gsm8k-{split}-{i}", f"{where}, item {i + 1}") for i, row in enumerate(rows)]


def _row(row: Mapping[str, Any], identity: str, where: str) -> dict[str, Any]:
    answer = _CALCULATOR.sub("", row["answer"])
    if "####" not in answer or marked_number(answer) is None:
        raise DataError(f"{where}: field 'answer' must end in '#### ' and a number")
    return {"id": identity, "question": row["question"], "answer": answer}


def _exemplars() -> list[dict[str, Any]]:
    """Return the eight examples of Wei et al. 2022 (arXiv 2201.11903) that lm-eval carries."""
    from importlib.util import find_spec

    import yaml

    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise DataError("GSM8K takes its eight examples from lm-eval\n  Try: pip install lm-eval")
    path = Path(spec.origin).parent / "tasks" / "gsm8k" / "gsm8k-cot.yaml"
    try:
        samples = yaml.safe_load(path.read_text("utf-8"))["fewshot_config"]["samples"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read GSM8K's examples from {path}: {error!r}") from None
    return [
        {"id": f"gsm8k-cot-{i}", "question": sample["question"], "answer": sample["target"]}
        for i, sample in enumerate(samples)
    ]
