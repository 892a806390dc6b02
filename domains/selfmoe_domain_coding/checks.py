"""What a generated task and its answer tell about each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence

from selfmoe.contracts import Example, Rejected
from selfmoe.kits.domains import defines, parse_code, passes

_ASKED_FOR = re.compile(r"^def (\w+)", re.MULTILINE)
_IMPORTS = (ast.Import, ast.ImportFrom)
_MINI_EXAMPLE = re.compile(r"Example: (f\(.*\)) == (.+)")


def refuse_other_than_functions(example: Example) -> Rejected | None:
    """Return why an answer is not a program that defines the function asked for.

    Where the task names none, any will do. The answer is parsed, never run.
    """
    code = parse_code(example.response)
    if code is None:
        return Rejected("not Python")
    asked = _ASKED_FOR.findall(example.input)
    names = [node.name for node in code.body if isinstance(node, ast.FunctionDef)]
    if not names:
        return Rejected("no function")
    if asked and not defines(code, asked[-1]):
        return Rejected("another function than asked for")
    return None


def refuse_failing_examples(example: Example) -> Rejected | None:
    """Return whether a program fails the examples that its task shows; run in the sandbox.

    What the task imports is there for the program, too. A task without examples tells nothing.

    Raises:
        StageError: If there is no sandbox.
    """
    tests = [f"assert ({call}) == ({result})" for call, result in shown_examples(example.input)]
    if not tests or passes("\n".join([*_imports(example.input), example.response, *tests, ""])):
        return None
    return Rejected("fails its own example")


def _imports(text: str) -> list[str]:
    code = parse_code(text)
    nodes = [node for node in code.body if isinstance(node, _IMPORTS)] if code else []
    return [ast.unparse(node) for node in nodes]


def shown_examples(text: str) -> list[tuple[str, str]]:
    """Return the calls and results that a task shows: in its docstrings, or as ``Example:``.

    Those that are no expressions are left out.
    """
    found = _MINI_EXAMPLE.findall(text)
    code = parse_code(text)
    for node in code.body if code else ():
        if isinstance(node, ast.FunctionDef):
            found += _in_docstring(ast.get_docstring(node) or "")
    return [(call, result) for call, result in found if _expression(call) and _expression(result)]


def is_prose(body: Sequence[ast.stmt]) -> bool:
    """Return whether statements do nothing but name things, as words do that parse as Python."""
    return all(
        isinstance(node, ast.Expr | ast.Pass)
        or (isinstance(node, ast.AnnAssign) and not node.value)
        for node in body
    )


def is_idle(code: ast.Module, names: Collection[str]) -> bool:
    """Return whether code does nothing, or its functions of these names do nothing but say so."""
    named = [
        node
        for node in code.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names
    ]
    return is_prose(code.body) or (bool(named) and all(is_prose(node.body) for node in named))


def _in_docstring(text: str) -> list[tuple[str, str]]:
    from doctest import DocTestParser

    try:
        examples = DocTestParser().get_examples(text)
    except ValueError:  # its spacing is off
        return []
    return [(example.source.strip(), example.want.strip()) for example in examples]


def _expression(source: str) -> bool:
    tree = parse_code(source)
    return tree is not None and [type(node) for node in tree.body] == [ast.Expr]
