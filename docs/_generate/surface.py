"""What a plugin may import: every public name, what it is, and its signature."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ForwardRef

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from _generate.markdown import code, plain, table

FACES = (
    "selfmoe.contracts",
    "selfmoe.kits.domains",
    "selfmoe.kits.trainers",
    "selfmoe.kits.routers",
    "selfmoe.kits.merges",
)
"""What plugins import from, and nothing else."""

FILE = "docs/public-names.txt"
"""Where the names and signatures are kept."""

_HEAD = """\
# Every name that a plugin may import, with its signature: python docs/update.py writes this file.
# A line that changes or goes breaks plugins: raise API in selfmoe/contracts/hookspecs.py with it.
"""
_SHOWN = ("__init__", "__call__")
_LONGEST = 100  # characters of a value; of longer ones the type is enough
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def frozen() -> str:
    """Return all public names with their signatures, one face after the other."""
    return _HEAD + "".join(f"\n[{face}]\n" + "".join(_lines(face)) for face in FACES)


def tables() -> str:
    """Return one section a face: its names and what they are.

    Raises:
        LookupError: If a class or function says nothing about itself.
    """
    parts = []
    for face in FACES:
        module = importlib.import_module(face)
        rows = [(code(name), _about(module, name)) for name in sorted(module.__all__, key=_order)]
        about = plain((inspect.getdoc(module) or "").partition("\n")[0])
        parts.append(f"## `{face}`\n\n{about}\n\n" + table(("name", "what it is"), rows))
    return "\n".join(parts)


def _order(name: str) -> tuple[bool, bool, str]:
    """Return what sorts classes before functions before constants."""
    return name.isupper(), not name[0].isupper(), name.lower()


# --- signatures -----------------------------------------------------------------------------------


def _lines(face: str) -> Iterator[str]:
    module = importlib.import_module(face)
    for name in sorted(module.__all__, key=_order):
        thing = getattr(module, name)
        if inspect.isclass(thing):
            yield f"class {name}{_bases(thing)}\n"
            yield from (f"    {line}\n" for line in _members(thing))
        elif inspect.isroutine(thing):
            yield f"def {name}{_signature(thing)}\n"
        else:
            yield f"{name} = {_value(thing)}\n"


def _bases(cls: type) -> str:
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    if bases == ["tuple"]:
        bases = ["NamedTuple"]
    return f"({', '.join(bases)})" if bases else ""


def _members(cls: type) -> Iterator[str]:
    """Yield the fields of a class, its constants, and its methods, as it defines them itself."""
    annotated = inspect.get_annotations(cls)
    for name, annotation in annotated.items():
        if not name.startswith("_"):
            yield f"{name}: {_type(annotation)}{_default(cls, name)}"
    generated = dataclasses.is_dataclass(cls) or issubclass(cls, (tuple, BaseModel))
    for name, member in vars(cls).items():
        if name in annotated or (name.startswith("_") and (name not in _SHOWN or generated)):
            continue
        if name == "__init__" and getattr(cls, "_is_protocol", False):
            continue
        yield from _member(name, member)


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property | cached_property):
        function: Any = member.fget if isinstance(member, property) else member.func
        yield f"{name}: {_type(inspect.get_annotations(function).get('return'))} (read only)"
    elif isinstance(member, classmethod | staticmethod):
        yield f"@{type(member).__name__} def {name}{_signature(member.__func__)}"
    elif inspect.isclass(member):
        yield f"class {name}"
    elif inspect.isfunction(member):
        yield f"def {name}{_signature(member)}"
    elif name != "model_config":
        yield f"{name} = {_value(member)}"


def _signature(function: Callable[..., Any]) -> str:
    found = inspect.signature(function)
    parameters = [p.replace(annotation=_Written(p.annotation)) for p in found.parameters.values()]
    written = found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"{_ADDRESS.sub('', str(written))} -> {_type(found.return_annotation)}"


class _Written:
    """An annotation that is shown as it is written, without quotes."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def __repr__(self) -> str:
        return _type(self._annotation)


def _type(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(cls: type, name: str) -> str:
    """Return the default of a field as it is written behind it; empty if it has none."""
    missing = (PydanticUndefined, dataclasses.MISSING, inspect.Parameter.empty)
    if issubclass(cls, BaseModel):
        value = cls.model_fields[name].get_default(call_default_factory=True)
    elif dataclasses.is_dataclass(cls):
        field = cls.__dataclass_fields__[name]
        factory = field.default_factory
        value = field.default if factory is dataclasses.MISSING else factory()
    elif issubclass(cls, tuple):
        value = getattr(cls, "_field_defaults", {}).get(name, inspect.Parameter.empty)
    else:
        value = vars(cls).get(name, inspect.Parameter.empty)
    return "" if value in missing else f" = {_value(value)}"


def _value(value: Any) -> str:
    """Return a value as it is written, or its type where it is long."""
    if isinstance(value, frozenset):
        return f"frozenset({sorted(value) if value else ''})"
    text = _ADDRESS.sub("", repr(value))
    return text if len(text) <= _LONGEST else f"({type(value).__name__})"


# --- what each is ---------------------------------------------------------------------------------


def _about(module: ModuleType, name: str) -> str:
    """Return the first line that is said of a name, or its value where nothing is said."""
    thing = getattr(module, name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        text = inspect.getdoc(thing)
        if not text:
            raise LookupError(f"{module.__name__}.{name} has no docstring")
        return plain(" ".join(text.partition("\n\n")[0].split()))
    text = _said_below(_file_of(module.__name__, name), name)
    return plain(" ".join(text.split())) if text else code(_value(thing))


def _file_of(face: str, name: str) -> str:
    """Return the module that the stub of a face takes a name from."""
    stub = importlib.import_module(face).__file__
    tree = ast.parse(_read(f"{stub}i"))
    return next(
        f"{face}.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}
    )


def _said_below(module: str, name: str) -> str:
    """Return the docstring that stands below a constant, in the module that defines it."""
    body = ast.parse(_read(importlib.import_module(module).__file__ or "")).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return _said_below(node.module or "", name)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if [name] == [getattr(target, "id", None) for target in targets]:
            said = below.value if isinstance(below, ast.Expr) else None
            return str(said.value) if isinstance(said, ast.Constant) else ""
    return ""


def _read(path: str) -> str:
    return Path(path).read_text("utf-8")
