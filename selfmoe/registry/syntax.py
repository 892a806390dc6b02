"""What a file of Python says, in a form that comments, docstrings and layout do not change."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

Imports = list[tuple[str, str | None]]

_LAYOUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of the syntax that follow from others, or say how something was written."""


@dataclass(frozen=True)
class Code:
    """A file of Python.

    Attributes:
        digest: SHA-256 over its abstract syntax, in hex; over its bytes if it cannot be parsed.
        imports: What it imports, but for types only: module as written and name, if one is named.
    """

    digest: str
    imports: Imports


@cache
def parsed(file: Path) -> Code:
    """Return what a file says; kept beside its bytecode, for parsing takes time.

    Raises:
        OSError: If it cannot be read.
    """
    text = read(file)
    state = [hashlib.sha256(text).hexdigest(), _own_hash()]
    kept = Path(cache_from_source(str(file))).with_suffix(".syntax.json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(kept.read_text("utf-8"))
        if found["state"] == state:
            return Code(found["digest"], [(module, name) for module, name in found["imports"]])
    code = parse(text)
    if not sys.dont_write_bytecode:
        _keep(kept, {"state": state, **asdict(code)})
    return code


def _keep(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what was found out, where that is possible; all works without it, more slowly."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(facts), "utf-8")
        temporary.replace(path)


def read(file: Path) -> bytes:
    """Return the bytes of a file."""
    return file.read_bytes()


@cache
def _own_hash() -> str:
    """Return a hash of this module, which decides what is kept."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:10]


def parse(text: bytes) -> Code:
    """Return what Python code says."""
    words: list[str] = []
    imports: Imports = []
    try:
        _take_in(ast.parse(text), words, imports)
    except (SyntaxError, ValueError, RecursionError):  # data that looks like code
        return Code(hashlib.sha256(text).hexdigest(), [])
    joined = "\0".join(words).encode("utf-8", "surrogatepass")
    return Code(hashlib.sha256(joined).hexdigest(), imports)


def _take_in(node: ast.AST, words: list[str], imports: Imports) -> None:
    """Add a node of the syntax and all below it, and what is imported there."""
    if isinstance(node, ast.Import):
        imports += [(alias.name, None) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        imports += [(base, alias.name) for alias in node.names]
    words.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in _LAYOUT:
            continue  # versions of Python differ in the fields that are empty
        parts = [part for part in value if not _idle(part)] if isinstance(value, list) else [value]
        words += (name, str(len(parts)))
        for part in parts:
            if isinstance(part, ast.AST):
                _take_in(part, words, imports)
            else:
                words.append(repr(part))


def _idle(node: Any) -> bool:
    """Return whether a statement does nothing: it is a docstring, or there for types only."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
        return node.test.id == "TYPE_CHECKING" and not node.orelse
    return False
