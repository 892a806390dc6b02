r"""MATH (https://github.com/hendrycks/math), asked as lm-eval's `minerva_math` asks it.

Files are those of the upstream archive: ``train|test/<subject>/<number>.json``, each with the texts
``problem`` and ``solution``; the answer is what the solution boxes last. Items of one subject stand
in the order of a hash of their text, which is the same for the folder and the hub.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, MissingDataError, ScoredSplit, normalise
from selfmoe.kits.domains import (
    UpstreamBenchmark,
    algebra_version,
    any_math,
    boxed,
    equivalent_math,
    final_math,
    hub_rows,
    json_file,
    locate,
    rational,
    stock_file,
    tidy,
)

Doc = Mapping[str, Any]

SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_FIELDS = ("problem", "solution")
_CLOSING = "\nFinal Answer: The final answer is ${}$. I hope it is correct."
_SPLITS = {"test": "test", "dev": "train"}


class MathProblems(UpstreamBenchmark):
    """Competition problems with worked solutions; four solved examples.

    ``score`` asks for the prescribed last line, "Final Answer: The final answer is …", in any
    markup; ``lenient`` takes what is boxed last, or stated as the answer, where there is none. Two
    answers are the same if their plain forms are equal. Where math-verify is installed, expressions
    in them may be equal by algebra, too; it has no say on numbers, or on what is a tuple, a set or
    an interval. ``extra`` says which of the two was at work. Subjects take turns, so that a
    limit covers them evenly. For tuning, the training problems are items.

    Differs from lm-eval's `minerva_math`: one benchmark for all subjects; answers are compared as
    said above instead of with a normaliser of its own; up to 512 new tokens instead of 256;
    problems that are among the four examples are no items.
    """

    name = "math"
    hub = "EleutherAI/hendrycks_math"
    role = "non-target"
    shots = 4
    max_new_tokens = 512
    stop = ("Problem:",)
    rule = "any-math"

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the files of all subjects that are there, in order."""
        folder = self._folder(_SPLITS[split])
        return [path for subject in SUBJECTS for path in _numbered(folder / subject)]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the test problems; for tuning the training problems."""
        shown = {normalise(doc["problem"]) for doc in self.pool}
        subjects = self._from_hub(split) if self.remote else self._from_files(split)
        docs = [_docs(subject, rows) for subject, rows in subjects]
        turns = chain.from_iterable(zip_longest(*docs))
        return [doc for doc in turns if doc and normalise(doc["problem"]) not in shown]

    def examples(self) -> list[dict[str, Any]]:
        """Return the four examples of Lewkowycz et al. 2022 (arXiv 2206.14858)."""
        return _exemplars()

    def facts(self) -> Mapping[str, Any]:
        """Return the subjects that are there and how answers are compared."""
        return {"subjects": sorted({doc["subject"] for doc in self.items}), **self.conditions()}

    def conditions(self) -> Mapping[str, Any]:
        """Return how answers are compared."""
        version = algebra_version()
        return {"equivalence": f"math-verify {version}" if version else "plain form only"}

    def ask(self, doc: Doc) -> Instruction:
        """Return the problem as a task without input."""
        return Instruction(tidy(doc["problem"]))

    def plain(self, doc: Doc) -> str:
        """Return the problem in the layout of `minerva_math`."""
        return f"Problem:\n{doc['problem']}\n\nSolution:"

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score`` and ``lenient``, each 0 or 1."""
        right = float(_same(doc["answer"], any_math(completion)))
        return {"score": right if final_math(completion) else 0.0, "lenient": right}

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the final answer, the boxed one or the stated one."""
        return any_math(completion)

    def gold(self, doc: Doc) -> str:
        """Return the worked solution with the prescribed last line."""
        if "Final Answer:" in doc["solution"]:
            return str(doc["solution"])
        return str(doc["solution"]) + _CLOSING.format(doc["answer"])

    def wrong(self, doc: Doc) -> str:
        """Return the next higher number as the final answer, or 0 for what is no number."""
        value = rational(doc["answer"])
        return _CLOSING.format("0" if value is None else value + 1).lstrip()

    def _folder(self, split: str) -> Path:
        for name in ("math", "MATH"):
            for subject in SUBJECTS:
                try:
                    return locate(self.data_dir, name, f"{split}/{subject}").parent
                except MissingDataError:
                    continue
        raise MissingDataError(
            f"no MATH problems in {self.data_dir}: no folder math/{split}/<subject>\n"
            f"  Subjects: {', '.join(SUBJECTS)}. Put the upstream files there, or leave --data-dir "
            "out to fetch them from the hub."
        )

    def _from_files(self, split: ScoredSplit) -> Iterator[tuple[str, Iterable[tuple[str, Any]]]]:
        folder = self._folder(_SPLITS[split])
        for subject in SUBJECTS:
            yield subject, [(str(path), json_file(path)) for path in _numbered(folder / subject)]

    def _from_hub(self, split: ScoredSplit) -> Iterator[tuple[str, Iterable[tuple[str, Any]]]]:
        for subject in SUBJECTS:
            rows = hub_rows(self.hub, subject, _SPLITS[split])
            yield subject, [(f"{self.hub}, {subject}, row {i}", r) for i, r in enumerate(rows)]


def _same(right: str, answer: str | None) -> bool:
    if answer is None:
        return False
    return equivalent_math(right, answer)


def _numbered(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _docs(subject: str, rows: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of a subject, ordered and named by a hash of their text."""
    docs: dict[str, dict[str, Any]] = {}
    for where, row in rows:
        for field in _FIELDS:
            if not isinstance(row, dict) or not str(row.get(field) or "").strip():
                raise DataError(
                    f"{where}: field '{field}' is missing or empty\n"
                    f"  Expected of every problem: {', '.join(_FIELDS)}."
                )
        answer = boxed(str(row["solution"]))
        if answer is None:
            raise DataError(f"{where}: field 'solution' boxes no answer (\\boxed{{…}})")
        text = str(row["problem"]), str(row["solution"])
        key = hashlib.sha256("\n".join(text).encode()).hexdigest()[:12]
        docs[key] = {
            "id": f"math-{subject}-{key}",
            "subject": subject,
            "level": row.get("level"),
            "problem": text[0],
            "solution": text[1],
            "answer": answer,
        }
    return [docs[key] for key in sorted(docs)]


def _exemplars() -> list[dict[str, Any]]:
    """Return the examples that `minerva_math` carries in its code, which is read, not run."""
    path = stock_file("minerva_math/utils.py")
    try:
        tree = ast.parse(path.read_text("utf-8"))
        (function,) = (
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name == "list_fewshot_samples"
        )
        (result,) = (node.value for node in function.body if isinstance(node, ast.Return))
        samples = ast.literal_eval(result) if result else []
        return [
            {
                "id": f"math-shot-{number}",
                "subject": "",
                "problem": sample["problem"],
                "solution": sample["solution"],
                "answer": boxed(sample["solution"]) or "",
            }
            for number, sample in enumerate(samples)
        ]
    except (OSError, ValueError, SyntaxError, KeyError, TypeError) as error:
        raise DataError(f"cannot read MATH's examples from {path}: {error!r}") from None
