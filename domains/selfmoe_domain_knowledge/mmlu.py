"""MMLU (https://github.com/hendrycks/test), asked as lm-eval's `mmlu` asks it.

Files are CSV: question, four options, answer, the answer a letter (upstream) or an index (hub
exports, which have a header). Seeds come from `dev`; items from `test`, for tuning from `val`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from selfmoe.contracts import (
    DataError,
    Instruction,
    MissingDataError,
    ScoredSplit,
    Seed,
    Source,
    normalise,
)
from selfmoe.kits.domains import (
    UpstreamBenchmark,
    csv_rows,
    hub_rows,
    item_keys,
    letter,
    locate,
    tidy,
)

Doc = Mapping[str, Any]

LETTERS = "ABCD"
_COLUMNS = ("question", "A", "B", "C", "D", "answer")
_FILE_SPLITS: Mapping[ScoredSplit, str] = {"test": "test", "dev": "val"}
_HUB_SPLITS = {"dev": "dev", "val": "validation", "test": "test"}


class MMLU(UpstreamBenchmark):
    """Four options, decided by the log-likelihood of their letters; no examples.

    Items are taken from the subjects in turn, so that a limit covers them evenly. Only subjects
    whose files are there are asked; ``extra`` says which.

    Differs from lm-eval's `mmlu`: one benchmark for all subjects, each item counting the same;
    dev questions that come back among the items are never seeds.
    """

    name = "mmlu"
    hub = "cais/mmlu"
    max_new_tokens = 1
    rule = "letter"

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return one file a subject."""
        return _paths(self.data_dir, _FILE_SPLITS[split])

    def read(self, split: ScoredSplit) -> list[Doc]:
        """Return the questions, of the subjects in turn."""
        turns = chain.from_iterable(
            zip_longest(*_subjects(self.source, _FILE_SPLITS[split]).values())
        )
        return [doc for doc in turns if doc is not None]

    def facts(self) -> Mapping[str, Any]:
        """Return the subjects that are asked."""
        return {"subjects": sorted({doc["subject"] for doc in self.items})}

    def ask(self, doc: Doc) -> Instruction:
        """Return the question as a task, the options as its input."""
        return Instruction(tidy(doc["question"]), tidy(_options(doc)))

    def preamble(self, doc: Doc) -> str:
        """Return the line that names the subject."""
        subject = doc["subject"].replace("_", " ")
        return f"The following are multiple choice questions (with answers) about {subject}.\n\n"

    def plain(self, doc: Doc) -> str:
        """Return question, options and "Answer:"."""
        return f"{doc['question'].strip()}\n{_options(doc)}\nAnswer:"

    def choices(self, doc: Doc) -> Sequence[str]:
        """Return the four letters."""
        return tuple(LETTERS)

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return 1 for the right letter."""
        return {"score": float(letter(completion) == doc["answer"])}

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the letter chosen."""
        return letter(completion)

    def gold(self, doc: Doc) -> str:
        """Return the right letter."""
        return str(doc["answer"])

    def wrong(self, doc: Doc) -> str:
        """Return the letter after the right one."""
        return LETTERS[(LETTERS.index(doc["answer"]) + 1) % len(LETTERS)]


def files(source: Source) -> list[Path]:
    """Return the dev files; none if the hub is asked.

    Raises:
        MissingDataError: If they are missing.
    """
    return [] if source.data_dir is None else _paths(source.data_dir, "dev")


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` questions of the dev set.

    MMLU repeats a few dev questions among its items; those are left out.

    Raises:
        DataError: If the data is missing, malformed, or has fewer questions.
    """
    benchmark = MMLU(source)
    taken = set(item_keys(benchmark))
    other: ScoredSplit = "dev" if source.split == "test" else "test"
    with contextlib.suppress(DataError):  # files of the split that is not asked for may be missing
        taken |= set(item_keys(MMLU(replace(source, split=other))))
    rows = []
    for doc in chain.from_iterable(_subjects(source, "dev").values()):
        task = benchmark.ask(doc)
        if normalise(task.instruction, task.input) not in taken:
            rows.append(Seed(doc["id"], task.instruction, task.input, doc["answer"]))
    if n > len(rows):
        raise DataError(f"MMLU has {len(rows)} dev questions for seeds, not {n}; lower seeds.n")
    return rng.sample(rows, n)


def _options(doc: Doc) -> str:
    return "\n".join(f"{a}. {text}" for a, text in zip(LETTERS, doc["choices"], strict=True))


def _subjects(source: Source, split: str) -> dict[str, list[dict[str, Any]]]:
    """Return ``subject -> items`` in alphabetical order of the subjects."""
    if source.data_dir is None:
        return _from_hub(split)
    named = [(p, p.name.removesuffix(f"_{split}.csv")) for p in _paths(source.data_dir, split)]
    return {subject: _from_file(path, subject, split) for path, subject in named}


def _paths(data_dir: Path, split: str) -> list[Path]:
    folder = locate(data_dir, "mmlu", split)
    paths = sorted(folder.glob(f"*_{split}.csv"))
    if not paths:
        raise MissingDataError(
            f"{folder} holds no MMLU files\n  Expected: <subject>_{split}.csv, one or more."
        )
    return paths


def _from_file(path: Path, subject: str, split: str) -> list[dict[str, Any]]:
    rows = csv_rows(path, _COLUMNS)
    made = (
        (row[0], row[1:5], row[5].strip(), f"{path}, item {i}") for i, row in enumerate(rows, 1)
    )
    return _docs(made, subject, split)


def _from_hub(split: str) -> dict[str, list[dict[str, Any]]]:
    by_subject: dict[str, list[Mapping[str, Any]]] = {}
    for row in hub_rows(MMLU.hub, "all", _HUB_SPLITS[split]):
        by_subject.setdefault(row["subject"], []).append(row)
    return {
        name: _docs(
            ((r["question"], r["choices"], str(r["answer"]), f"{MMLU.hub}, {name}") for r in rows),
            name,
            split,
        )
        for name, rows in sorted(by_subject.items())
    }


def _docs(
    rows: Iterable[tuple[str, Sequence[str], str, str]], subject: str, split: str
) -> list[dict[str, Any]]:
    docs = []
    for number, (question, options, answer, where) in enumerate(rows):
        right = LETTERS[int(answer)] if answer in tuple("0123") else answer
        if right not in tuple(LETTERS):
            raise DataError(f"{where}: answer '{answer}' is none of A, B, C, D (or 0, 1, 2, 3)")
        identity = f"mmlu-{subject}-{split}-{number}"
        docs.append(
            {
                "id": identity,
                "subject": subject,
                "question": question,
                "choices": list(options),
                "answer": right,
            }
        )
    return docs
