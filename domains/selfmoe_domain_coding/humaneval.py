"""HumanEval (https://github.com/openai/human-eval), asked as lm-eval's `humaneval` asks it.

For tuning (`split="dev"`) the validation problems of MBPP are asked, in the form of HumanEval.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, MissingDataError, Rejected, ScoredSplit
from selfmoe.kits.domains import (
    UpstreamBenchmark,
    code_pieces,
    hub_rows,
    jsonl_rows,
    locate,
    parse_code,
    passes,
    python_in,
)
from selfmoe_domain_coding import mbpp
from selfmoe_domain_coding.checks import is_prose
from selfmoe_domain_coding.normalise import Problem, to_humaneval
from selfmoe_domain_coding.training import TASK

Doc = Mapping[str, Any]

_HUB = "openai/openai_humaneval"
_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
_FILE = "HumanEval.jsonl"


class HumanEval(UpstreamBenchmark):
    """A signature with a docstring, to be completed without examples; hidden tests decide (pass@1).

    An answer may be the body that follows the prompt, or a program that defines the function anew,
    as experts are trained to write it. What stands before a fence is looked at first, then blocks
    in fences of any kind; words that happen to parse, empty functions and what only calls the
    function come last. The first of these that is Python and gives the function a body counts:

    1. the prompt and the text as it stands;
    2. the text alone, if it defines the function; what the prompt imports or defines is there too;
    3. the prompt and the text with its first line, then with all lines, moved to the body's indent:
       templates and tokenizers drop leading spaces.

    It is run as an import would run it: what stands under a main guard is not.

    Differs from lm-eval's `humaneval`: that takes form 1 only, and no fences off; programs run in
    the sandbox, for 5 seconds instead of 3; an answer has 512 tokens instead of 1 024. The stop
    strings are lm-eval's in its own template; in the Alpaca template there are none, since programs
    may hold several functions.
    """

    name = "humaneval"
    hub = _HUB
    rule = "A body after the prompt, or a program that defines the function; it must parse."
    max_new_tokens = 512
    stop = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    needs_sandbox = True

    def stops(self, template: str) -> tuple[str, ...]:
        """Return the strings that end an answer: none of its own outside ``plain``."""
        return self.stop if template == "plain" else ()

    def paths(self, split: ScoredSplit) -> list[Path]:
        """Return HumanEval's file, or MBPP's for tuning."""
        return [_path(self.data_dir) if split == "test" else mbpp.path(self.data_dir)]

    def read(self, split: ScoredSplit) -> list[dict[str, Any]]:
        """Return the items in upstream's order."""
        if split == "dev":
            return [_from_mbpp(i, p) for i, p in self._rewritten.items() if isinstance(p, Problem)]
        if self.source.data_dir is None:
            where, rows = _HUB, hub_rows(_HUB, None, "test")
        else:
            where = str(_path(self.data_dir))
            rows = jsonl_rows(Path(where), _FIELDS)
        return [_row(row, f"{where}, item {i}") for i, row in enumerate(rows, start=1)]

    def facts(self) -> Mapping[str, Any]:
        """Return, for tuning, where items come from and why some of them are left out."""
        if self.source.split == "test":
            return {}
        left_out = {i: p.reason for i, p in self._rewritten.items() if isinstance(p, Rejected)}
        return {"items_from": "MBPP validation", **({"left_out": left_out} if left_out else {})}

    def ask(self, doc: Doc) -> Instruction:
        """Return the prompt as the input of a task, without outer blank lines."""
        return Instruction(TASK, str(doc["prompt"]).strip())

    def plain(self, doc: Doc) -> str:
        """Return the prompt as it is."""
        return str(doc["prompt"])

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score``, 0 or 1."""
        found = self.program(doc, completion)
        return {"score": float(found is not None and passes(found))}

    def program(self, doc: Doc, completion: str) -> str | None:
        """Return what is run: the answer's code and the tests; ``None`` without code."""
        code = self.extract(doc, completion)
        return None if code is None else f"{code}\n{doc['test']}\ncheck({doc['entry_point']})\n"

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the function with its body, made of prompt and answer."""

        def likeliest(piece: str) -> str | None:
            return next(_readings(doc, piece), None)

        def idle(code: str) -> bool:
            return _idle(code, doc["entry_point"])

        pieces = code_pieces(
            completion, lambda piece: (code := likeliest(piece)) is not None and not idle(code)
        )
        return min(filter(None, map(likeliest, pieces)), key=idle, default=None)

    def gold(self, doc: Doc) -> str:
        """Return the reference body."""
        return str(doc["canonical_solution"])

    def wrong(self, doc: Doc) -> str:
        """Return a body that gives up."""
        return "    raise NotImplementedError\n"

    @cached_property
    def _rewritten(self) -> dict[str, Problem | Rejected]:
        rows = mbpp.some_rows(self.source, "validation")
        return {row["id"]: to_humaneval(row) for row in rows}


def _readings(doc: Doc, text: str) -> Iterator[str]:
    """Yield the programs that a text can be read as, the likeliest first."""
    prompt, name = doc["prompt"], doc["entry_point"]
    if _body(prompt + text, name):
        yield prompt + text
    if _body(alone := (python_in(text) or "").strip(), name):
        yield f"{prompt}{_indent(doc)}pass\n\n\n{alone}\n"
    lines = text.strip().split("\n")
    for moved in ([_indent(doc) + lines[0], *lines[1:]], [_indent(doc) + line for line in lines]):
        code = prompt + "\n".join(moved) + "\n"
        if _body(code, name):
            yield code


def _body(code: str, name: str) -> bool:
    """Return whether code is Python and the first function of that name has more than a docstring.

    So a prompt followed by a second definition is not taken for one with its body.
    """
    return any(
        len(node.body) > (ast.get_docstring(node, clean=False) is not None)
        for node in _functions(code, name)[:1]
    )


def _idle(code: str, name: str) -> bool:
    """Return whether a function of that name does no more than to name things or call itself."""
    return all(is_prose(node.body) or _only_uses(node) for node in _functions(code, name))


def _only_uses(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a body is a program that uses its function: it calls it, returns nothing."""
    parts = [part for node in function.body for part in ast.walk(node)]
    calls = any(isinstance(part, ast.Name) and part.id == function.name for part in parts)
    return calls and not any(isinstance(part, ast.Return | ast.Yield) for part in parts)


def _functions(code: str, name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = parse_code(code)
    return [
        node
        for node in (tree.body if tree else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]


def _indent(doc: Doc) -> str:
    """Return the leading space of the docstring's last line, where the body begins, too."""
    last = str(doc["prompt"]).rstrip().rpartition("\n")[2]
    return last[: len(last) - len(last.lstrip())] or "    "


def _path(data_dir: Path) -> Path:
    try:
        return locate(data_dir, "humaneval", _FILE)
    except MissingDataError as missing:
        try:
            return locate(data_dir, "humaneval", f"{_FILE}.gz")
        except MissingDataError:
            raise missing from None


def _row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    for field in _FIELDS:
        if not isinstance(row.get(field), str):
            raise DataError(f"{where}: field '{field}' is missing or no text")
    return {"id": row["task_id"], **{field: row[field] for field in _FIELDS[1:]}}


def _from_mbpp(identity: str, problem: Problem) -> dict[str, Any]:
    return {
        "id": identity,
        "prompt": problem.prompt,
        "entry_point": problem.entry_point,
        "canonical_solution": problem.completion,
        "test": problem.test,
    }
