"""The checks of every contract, and the fixtures for tests of plugins, from their docstrings."""

from __future__ import annotations

import ast
import inspect

import selfmoe.testing
from _generate.markdown import code, paragraphs, plain, table
from selfmoe.testing import pytest_plugin

ORDER = ("Component", "Domain", "Benchmark", "Trainer", "Composer", "Base", "Backend", "Executor")


def names() -> list[str]:
    """Return the contracts in the order they are described in.

    Raises:
        LookupError: If one has no place in it.
    """
    found = [f"{part}Contract" for part in ORDER]
    if lost := {name for name in selfmoe.testing.__all__ if name.endswith("Contract")} - {*found}:
        raise LookupError(f"contracts without a place on the page: {', '.join(sorted(lost))}")
    return found


def checks() -> str:
    """Return a table of checks a contract; those it includes are told where they belong."""
    parts = []
    for name in names():
        contract = getattr(selfmoe.testing, name)
        others = [getattr(selfmoe.testing, other) for other in names() if other != name]
        inside = [other for other in others if issubclass(contract, other)]
        parts.append(f"### {name}\n")
        if inside:
            parts.append(f"All checks of {' and '.join(code(o.__name__) for o in inside)}, and:\n")
        parts.append(table(("check", "what holds"), _rows(contract, inside)))
    return "\n".join(parts)


def _rows(contract: type, inside: list[type]) -> list[tuple[str, str]]:
    seen = {name for other in inside for name in dir(other)}
    own = [name for name in _in_order(contract) if name.startswith("test_") and name not in seen]
    return [(code(name.removeprefix("test_")), _about(getattr(contract, name))) for name in own]


def _in_order(contract: type) -> list[str]:
    """Return the attributes of a class and its bases, as they stand in the code."""
    return list(dict.fromkeys(name for cls in contract.__mro__ for name in vars(cls)))


def fixtures() -> str:
    """Return every fixture with what it gives."""
    tree = ast.parse(inspect.getsource(pytest_plugin))
    rows = [
        (code(node.name), plain(paragraphs(ast.get_docstring(node) or "")[0]))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    return table(("fixture", "what it gives"), rows)


def fakes() -> str:
    """Return every fake with what it is."""
    found = [name for name in selfmoe.testing.__all__ if name.startswith("Toy")]
    rows = [(code(name), _about(getattr(selfmoe.testing, name))) for name in found]
    return table(("fake", "what it is"), rows)


def _about(thing: object) -> str:
    return plain(" ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split()))
