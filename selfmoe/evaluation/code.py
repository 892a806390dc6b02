"""Finding code in what a model wrote, and whether it passes: in the sandbox and nowhere else."""

from __future__ import annotations

import ast
import re
import warnings
from contextvars import ContextVar

from selfmoe.errors import StageError

_ANSWER = "<answer>"
warnings.filterwarnings("ignore", module=re.escape(_ANSWER))  # what code may say when it is parsed

_FENCE = re.compile(r"^[ \t]*```[^\n]*(?:\n|\Z)", re.MULTILINE)
_TRIES = 3
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


def code_pieces(text: str) -> list[str]:
    """Return where code may stand in an answer: before a Markdown fence, then in the first block.

    A block that is not closed ends with the text. Without fences the text is the only piece.
    """
    before, *rest = _FENCE.split(text, maxsplit=2)
    return [piece for piece in (before, *rest[:1]) if piece.strip()]


def allow_unsafe(allowed: bool) -> None:
    """Say whether programs may run in this thread without a sandbox (``evaluate.unsafe_code``)."""
    _unsafe.set(allowed)


def passes(program: str, timeout_s: float = 5.0) -> bool:
    """Return whether a program runs to its end, hidden tests included.

    Args:
        program: Generated code followed by ``assert`` statements.
        timeout_s: Wall-clock limit; a program that exceeds it does not pass.

    Raises:
        StageError: If the sandbox itself keeps failing, which says nothing about the program.
    """
    from selfmoe import sandbox

    for _ in range(_TRIES):
        verdict = sandbox.run(program, timeout_s, unsafe=_unsafe.get())
        if verdict.status != "infra_error":
            return bool(verdict.status == "passed")
    raise StageError(
        f"the sandbox failed {_TRIES} times in a row: {verdict.detail}\n"
        "  No score is counted. Free memory or processes, then run the same command again."
    )
