"""MBPP (https://github.com/google-research/google-research/tree/master/mbpp).

One file of 974 problems, told apart by their ids: 2 to 4 are shown solved, 11 to 510 are asked,
511 to 600 are for tuning, and of 601 to 974 seeds are made, in the form of HumanEval.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from selfmoe.contracts import DataError, Instruction, ScoredSplit, Source
from selfmoe.kits.domains import (
    UpstreamBenchmark,
    bound_names,
    code_pieces,
    hub_rows,
    jsonl_rows,
    locate,
    parse_code,
    passes,
    python_in,
)
from selfmoe_domain_coding.checks import is_idle

Doc = Mapping[str, Any]
Part = Literal["prompt", "test", "validation", "train"]

_HUB, _CONFIG = "google-research-datasets/mbpp", "full"
_IDS: dict[Part, range] = {
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
_DONE = "[DONE]"
_TESTS = 3
_SECONDS = 10.0
_FOUND = (False, False)


class MBPP(UpstreamBenchmark):
    """A description and three tests, after three solved problems; the tests decide (pass@1).

    An answer ends at ``[DONE]``. Of it counts the first piece that is Python and defines what the
    tests ask for: what stands before a fence, or a block in fences of any kind; other Python, empty
    functions and words that happen to parse count last. It is run, followed by the problem's set-up
    code and its three tests, as an import would run it: what stands under a main guard is not. The
    challenge tests are not used.

    Differs from lm-eval's `mbpp`: fences are taken off; set-up code is run, too; programs
    run in the sandbox, for 10 seconds instead of 3 (one reference solution takes 2); an answer has
    512 tokens instead of 256.
    """

    name = "mbpp"
    hub = _HUB
    rule = (
        "The code before [DONE], without fences: the first that parses and defines what is asked."
    )
    role = "non-target"
    shots = 3
    max_new_tokens = 512
    stop = (_DONE,)
    needs_sandbox = True

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return the one file."""
        return [path(self.data_dir)]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the problems of upstream's test split, or for tuning its validation split."""
        return some_rows(self.source, "test" if split == "test" else "validation")

    def examples(self) -> list[dict[str, Any]]:
        """Return problems 2, 3 and 4, which the paper shows, then the others up to 10."""
        return sorted(some_rows(self.source, "prompt"), key=lambda row: row["task_id"] == 1)

    def ask(self, doc: Doc) -> Instruction:
        """Return the description as instruction, the tests as input."""
        return Instruction(
            f"{doc['text'].strip()} Your code should pass these tests:",
            "\n".join(test.strip() for test in doc["tests"]),
        )

    def plain(self, doc: Doc) -> str:
        """Return the problem in the layout of `mbpp`."""
        tests = "\n".join(doc["tests"][:_TESTS])
        return (
            f"You are an expert Python programmer, and here is your task: {doc['text']} "
            f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
        )

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score``, 0 or 1."""
        found = self.program(doc, completion)
        return {"score": float(found is not None and passes(found, _SECONDS))}

    def program(self, doc: Doc, completion: str) -> str | None:
        """Return what is run: the answer's code, set-up code, tests; ``None`` without code."""
        code = self.extract(doc, completion)
        return None if code is None else "\n".join([code, doc["setup"], *doc["tests"], ""])

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the code that an answer holds: the first that defines what the tests ask for."""
        asked = _asked(doc)
        pieces = code_pieces(
            completion.partition(_DONE)[0], lambda piece: _rank(python_in(piece), asked) == _FOUND
        )
        found = [code.strip() for piece in pieces if (code := python_in(piece))]
        return min(found, key=lambda code: _rank(code, asked), default=None)

    def gold(self, doc: Doc) -> str:
        """Return the reference solution as solved examples show it."""
        return f"{doc['code']}\n{_DONE}"

    def wrong(self, doc: Doc) -> str:
        """Return a solution whose functions are all there and give up."""
        names = re.findall(r"^def (\w+)", doc["code"], re.MULTILINE) or ["solve"]
        stubs = [f"def {name}(*_):\n    raise NotImplementedError\n" for name in names]
        return "\n".join([*stubs, _DONE])


def path(data_dir: Path) -> Path:
    """Return the file with all problems.

    Raises:
        MissingDataError: If it is not there.
    """
    return locate(data_dir, "mbpp", "mbpp.jsonl")


def rows(source: Source, part: Part) -> list[dict[str, Any]]:
    """Return the problems of one of upstream's four parts, by id; none if the file has none.

    Each has ``id``, ``task_id``, ``text``, ``code``, ``setup`` and ``tests``.

    Raises:
        DataError: If the data is missing or malformed.
    """
    if source.data_dir is None:
        where, found = f"{_HUB} ({part})", hub_rows(_HUB, _CONFIG, part)
    else:
        where = str(path(source.data_dir))
        found = jsonl_rows(Path(where), ("text", "code"))
    checked = [_row(row, f"{where}, item {i}") for i, row in enumerate(found, start=1)]
    chosen = {row["task_id"]: row for row in checked}
    if len(chosen) < len(checked):
        raise DataError(f"{where}: two problems have the same task_id\n  Every id may occur once.")
    return [chosen[number] for number in _IDS[part] if number in chosen]


def some_rows(source: Source, part: Part) -> list[dict[str, Any]]:
    """Return the problems of a part as ``rows`` does, but at least one.

    Raises:
        DataError: If there is none, too.
    """
    found = rows(source, part)
    if not found:
        ids = _IDS[part]
        raise DataError(
            f"MBPP as found holds no problem of its {part} part, ids {ids[0]} to {ids[-1]}\n"
            "  Was the download complete?"
        )
    return found


def _asked(doc: Doc) -> set[str]:
    """Return the names that tests use and the reference solution defines."""
    tests = parse_code("\n".join(doc["tests"]))
    used = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)} if tests else set()
    return used & bound_names(doc["code"])


def _rank(code: str | None, asked: set[str]) -> tuple[bool, bool]:
    """Return what speaks against code as the answer: it lacks a name asked for; it does nothing."""
    tree = parse_code(code) if code else None
    if code is None or tree is None:
        return True, True
    return not asked <= bound_names(code), is_idle(tree, asked)


def _row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    number, tests = row.get("task_id"), row.get("test_list")
    setup = row.get("test_setup_code") or ""
    if not isinstance(number, int):
        raise DataError(f"{where}: field 'task_id' must be a whole number")
    if not isinstance(tests, list) or len(tests) < _TESTS or not _texts(*tests):
        raise DataError(f"{where}: field 'test_list' must hold {_TESTS} or more lines of code")
    if not _texts(row.get("text"), row.get("code"), setup):
        raise DataError(f"{where}: fields 'text', 'code' and 'test_setup_code' must be text")
    return {
        "id": f"mbpp-{number}",
        "task_id": number,
        "text": row["text"],
        "code": row["code"],
        "setup": setup,
        "tests": list(tests),
    }


def _texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
