"""What is public says the shapes of its tensors and what it raises; ruff holds all else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("selfmoe", "domains", "routers", "plugins")
TENSOR = re.compile(r"\bTensor\b")
SHAPE = re.compile(r"shape|scalar|of one element", re.IGNORECASE)

Function = tuple[str, ast.FunctionDef]


def shown(function: ast.FunctionDef) -> bool:
    """Return whether a docstring is the help of a command."""
    return any(ast.unparse(one).startswith("click.") for one in function.decorator_list)


def public(node: ast.Module | ast.ClassDef, above: str) -> Iterator[Function]:
    """Yield the public functions and methods of a module or class, with where they are."""
    for one in node.body:
        if isinstance(one, ast.ClassDef) and not one.name.startswith("_"):
            yield from public(one, f"{above}{one.name}.")
        elif isinstance(one, ast.FunctionDef) and not (one.name.startswith("_") or shown(one)):
            yield f"{above}{one.name}, line {one.lineno}", one


FUNCTIONS = [
    function
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"tests", "build"} & set(path.relative_to(ROOT).parts)
    for function in public(ast.parse(path.read_text("utf-8")), f"{path.relative_to(ROOT)}: ")
]


def mentions_tensors(function: ast.FunctionDef) -> bool:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    annotations = [function.returns, *(argument.annotation for argument in every)]
    return any(one is not None and TENSOR.search(ast.unparse(one)) for one in annotations)


def raises(node: ast.AST) -> bool:
    """Return whether a function raises: anew, in its own body, more than a want of itself."""
    if isinstance(node, ast.Raise):
        return node.exc is not None and "NotImplementedError" not in ast.unparse(node.exc)
    inner = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
    return any(raises(one) for one in ast.iter_child_nodes(node) if not isinstance(one, inner))


def said(function: ast.FunctionDef) -> str:
    return ast.get_docstring(function) or ""


def test_tensors_have_shapes():
    silent = [at for at, one in FUNCTIONS if mentions_tensors(one) and not SHAPE.search(said(one))]
    assert silent == []


def test_what_raises_says_so():
    silent = [at for at, one in FUNCTIONS if raises(one) and "Raises:" not in said(one)]
    assert silent == []


@pytest.mark.parametrize(
    ("code", "mentions", "raising"),
    [
        ("def f(x: Tensor | None) -> int: return 1", True, False),
        ("def f(*, x: list[torch.Tensor]): raise ValueError", True, True),
        ("def f() -> Tensors:\n try: pass\n except OSError: raise", False, False),
        ("def f():\n def g(): raise ValueError\n return g", False, False),
        ("def f():\n if x:\n  raise fault() from None", False, True),
    ],
)
def test_the_checks_see_what_they_look_for(code: str, mentions: bool, raising: bool):
    [function] = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef)
    assert (mentions_tensors(function), raises(function)) == (mentions, raising)
