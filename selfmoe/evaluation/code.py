"""Finding code in what a model wrote, and whether it passes: in the sandbox and nowhere else."""

from __future__ import annotations

import ast
import re
import symtable
import textwrap
import warnings
from collections.abc import Callable
from contextvars import ContextVar

from selfmoe.contracts.errors import StageError
from selfmoe.evaluation import fences

_ANSWER = "<answer>"
warnings.filterwarnings("ignore", module=re.escape(_ANSWER))  # what code may say when it is parsed

_PROMPT = re.compile(r"^[ \t]*(?:>>>|\.\.\.)(?: (.*)|$)", re.MULTILINE)
_TRIES = 3
_IMPORTED = """import sys
module = sys.modules["answer"] = type(sys)("answer")
exec(compile({program!r}, "answer.py", "exec", dont_inherit=True), module.__dict__)
"""
_unsafe: ContextVar[bool] = ContextVar("unsafe", default=False)


def parse_code(source: str) -> ast.Module | None:
    """Return the syntax tree of Python code, or ``None`` if it is none; it is never run."""
    try:
        compile(source, _ANSWER, "exec", dont_inherit=True)  # finds what parsing alone lets through
        return ast.parse(source, _ANSWER)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None


def defines(tree: ast.Module, name: str) -> bool:
    """Return whether code defines a function of that name, not inside another one."""
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def bound_names(source: str) -> set[str]:
    """Return the names that Python code defines, assigns or imports outside functions and classes.

    Code that is none binds nothing.
    """
    if parse_code(source) is None:
        return set()
    symbols = symtable.symtable(source, _ANSWER, "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def python_in(text: str) -> str | None:
    """Return a text as Python whatever its indent; ``None`` if it is none.

    Tried are the text as it is, moved to the left as a whole or without its first line (templates
    and tokenizers drop leading spaces), and what the prompts of an interpreter's session hold.
    """
    first, _, rest = text.strip("\n").partition("\n")
    session = "\n".join(line or "" for line in _PROMPT.findall(text))
    moved = (text.strip(), textwrap.dedent(text), f"{first.strip()}\n{textwrap.dedent(rest)}")
    return next((way for way in (text, *moved, session) if way.strip() and parse_code(way)), None)


def code_pieces(text: str, wanted: Callable[[str], bool] | None = None) -> list[str]:
    """Return where code may stand in an answer: before a fence, then in the fenced blocks.

    Without fences that is the whole text and, where it is prose, what is set off by indent. Of
    blocks, those up to the first wanted one are returned: a block that is not closed ends with the
    text. All kinds of fences count, see ``selfmoe.evaluation.fences``.

    Args:
        text: What a model wrote.
        wanted: Says whether a piece is what was asked for; by default any Python is.
    """
    wanted = wanted or _is_python
    before = fences.unfenced(text)
    pieces = [before]
    if not _is_python(before):
        pieces += fences.set_off(before)
    for block in fences.blocks(text, _is_python):
        pieces.append(block)
        if wanted(block):
            break
    return [piece for piece in pieces if piece.strip()]


def imported(program: str) -> str:
    """Return a program that runs another one as importing it would: not as ``__main__``.

    What stands under ``if __name__ == "__main__":`` is not run, as with the reference runners of
    HumanEval and MBPP, which hand answers to ``exec``.
    """
    return _IMPORTED.format(program=program)


def allow_unsafe(allowed: bool) -> None:
    """Say whether programs may run in this thread without a sandbox (``evaluate.unsafe_code``)."""
    _unsafe.set(allowed)


def passes(program: str, timeout_s: float = 5.0) -> bool:
    """Return whether a program runs to its end, hidden tests included; it is run ``imported``.

    Args:
        program: Generated code followed by ``assert`` statements.
        timeout_s: Wall-clock limit; a program that exceeds it does not pass.

    Raises:
        StageError: If the sandbox itself keeps failing, which says nothing about the program.
    """
    from selfmoe.evaluation import sandbox

    for _ in range(_TRIES):
        verdict = sandbox.run_sandboxed(imported(program), timeout_s, unsafe=_unsafe.get())
        if verdict.status != "infra_error":
            return bool(verdict.status == "passed")
    raise StageError(
        f"the sandbox failed {_TRIES} times in a row: {verdict.detail}\n"
        "  No score is counted. Free memory or processes, then run the same command again."
    )


def _is_python(text: str) -> bool:
    return python_in(text) is not None
