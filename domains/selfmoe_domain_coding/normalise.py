"""From a problem of MBPP to the form of HumanEval: a signature with a docstring, and its body.

What is done, in this order; what cannot be done is a ``Rejected`` with the reason:

1. Line ends become "\\n", leading tabs become spaces, and the code is parsed.
2. The entry point is the first function of the code that a test calls.
3. Imports move to the top. A standard module or a name of ``typing`` that code or tests use
   without importing it is imported too.
4. The code is written out anew from its syntax tree: four spaces a level, no comments.
5. The docstring holds the description and the first test as an interpreter would show it.
6. The tests become ``check(candidate)``. What MBPP runs before its tests stands before that, and
   so behind the code, whose names it uses.

Nothing is run here.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfmoe.contracts import Rejected
from selfmoe.kits.domains import parse_code, tidy

_LEADING = re.compile(r"^[ \t]+", re.MULTILINE)
_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PASS = "\n    pass"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in the form of HumanEval.

    Attributes:
        prompt: Imports, signature and docstring, up to where the body begins.
        entry_point: The function asked for.
        completion: Its body, then whatever else the solution defines.
        program: The whole solution in its original order, without docstring or blank lines.
        test: Code that defines ``check(candidate)``.
    """

    prompt: str
    entry_point: str
    completion: str
    program: str
    test: str


def to_humaneval(row: Mapping[str, Any]) -> Problem | Rejected:
    """Return a problem of MBPP in the form of HumanEval, or why it has none.

    Args:
        row: A problem with ``text``, ``code``, ``setup`` and ``tests``.
    """
    code, setup = _parse(row["code"]), _parse(row["setup"])
    tests = [_parse(test) for test in row["tests"]]
    if code is None or setup is None or None in tests:
        return Rejected("does not parse")
    checks = [statement for test in tests if test for statement in test.body]
    asserts = [statement for statement in checks if isinstance(statement, ast.Assert)]
    function = _entry_point(code, asserts)
    if len(asserts) < len(checks) or function is None:
        return Rejected("no test calls a function of the code")
    if function.name == "check":
        return Rejected("its function is called 'check', as HumanEval's tests are")
    if needs := _needs(function, code.body, [*setup.body, *asserts]):
        names = ", ".join(needs)
        return Rejected(f"its tests or signature use {names}, which only the solution defines")
    return _problem(row["text"], function, code, setup.body, asserts)


def _problem(
    text: str,
    function: ast.FunctionDef,
    code: ast.Module,
    setup: list[ast.stmt],
    asserts: Sequence[ast.Assert],
) -> Problem | Rejected:
    others = [node for node in code.body if not isinstance(node, _IMPORTS)]
    imports: list[ast.stmt] = [node for node in code.body if isinstance(node, _IMPORTS)]
    imports += _missing_imports([*code.body, *setup, *asserts])
    _drop_docstring(function)
    top = _source(imports)
    signature = _signature(function)
    body = ast.unparse(function).removeprefix(signature)
    doc = _docstring(" ".join(text.split()), _example(asserts[0]))
    helpers = [ast.unparse(node) for node in others if _name(node) != function.name]
    problem = Problem(
        prompt=(f"{top}\n\n\n" if top else "") + f"{signature}\n{doc}",
        entry_point=function.name,
        completion="\n\n\n".join([body.removeprefix("\n"), *helpers]) + "\n",
        program=tidy(_source([*imports, *others])),
        test=_test(function.name, setup, asserts),
    )
    whole = parse_code(problem.prompt + problem.completion)
    return Rejected("does not parse after rewriting") if whole is None else problem


def _name(node: ast.AST) -> str | None:
    return node.name if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) else None


def _parse(source: str) -> ast.Module | None:
    lines = source.replace("\r\n", "\n").strip()
    return parse_code(_LEADING.sub(lambda space: space[0].expandtabs(8), lines))


def _entry_point(code: ast.Module, asserts: Iterable[ast.Assert]) -> ast.FunctionDef | None:
    defined = {node.name: node for node in code.body if isinstance(node, ast.FunctionDef)}
    called = (
        node.func.id
        for test in asserts
        for node in ast.walk(test)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    return next((defined[name] for name in called if name in defined), None)


def _missing_imports(nodes: Iterable[ast.stmt]) -> list[ast.stmt]:
    found = [part for node in nodes for part in ast.walk(node)]
    used = {part.id for part in found if isinstance(part, ast.Name)}
    bound = {part.id for part in found if isinstance(part, ast.Name) and _stores(part)}
    bound |= {name for part in found if (name := _name(part))}
    bound |= {part.arg for part in found if isinstance(part, ast.arg)}
    bound |= {(a.asname or a.name).split(".")[0] for a in found if isinstance(a, ast.alias)}
    free = sorted(used - bound - set(dir(builtins)))
    modules = [f"import {name}" for name in free if name in sys.stdlib_module_names]
    types = [f"from typing import {name}" for name in free if name in typing.__all__]
    return ast.parse("\n".join(modules + types)).body


def _stores(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def _drop_docstring(function: ast.FunctionDef) -> None:
    if ast.get_docstring(function, clean=False) is not None:
        function.body = function.body[1:] or [ast.Pass()]


def _signature(function: ast.FunctionDef) -> str:
    body = function.body
    function.body = [ast.Pass()]
    text = ast.unparse(function).removesuffix(_PASS)
    function.body = body
    return text


def _docstring(text: str, example: Sequence[str]) -> str:
    lines = [line.replace("\\", "\\\\").replace('"""', r"\"\"\"") for line in (text, *example)]
    return "\n".join([f'    """{lines[0]}', *(f"    {line}" for line in lines[1:]), '    """\n'])


def _example(test: ast.Assert) -> tuple[str, str]:
    """Return a test as a line for the interpreter, and what it answers."""
    claim = test.test
    if isinstance(claim, ast.Compare) and [type(op) for op in claim.ops] == [ast.Eq]:
        return f">>> {ast.unparse(claim.left)}", ast.unparse(claim.comparators[0])
    return f">>> {ast.unparse(claim)}", "True"


def _test(name: str, setup: list[ast.stmt], asserts: Sequence[ast.Assert]) -> str:
    lines = [_source(setup)] if setup else []
    lines.append("def check(candidate):")
    for test in asserts:
        text = ast.unparse(_Renamed(name).visit(ast.parse(ast.unparse(test))))
        lines.append(f"    {text}")
    return "\n".join(lines) + "\n"


class _Renamed(ast.NodeTransformer):
    """Calls the entry point ``candidate``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("candidate", node.ctx) if node.id == self.name else node


def _needs(
    function: ast.FunctionDef, code: Iterable[ast.stmt], tests: Sequence[ast.stmt]
) -> list[str]:
    defined = {named for node in code if (named := _name(node))}
    defined |= {
        part.id
        for node in code
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and _stores(part)
    }
    annotations = [function.returns] if function.returns else []
    asked = [*tests, *function.decorator_list, function.args, *annotations]
    used = {part.id for node in asked for part in ast.walk(node) if isinstance(part, ast.Name)}
    return sorted((defined & used) - {function.name})


def _source(nodes: Sequence[ast.stmt]) -> str:
    return ast.unparse(ast.Module(list(nodes), []))
