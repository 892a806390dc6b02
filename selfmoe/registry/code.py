"""What the keys of cells know of code: its abstract syntax, and that of all it computes with.

A comment, a docstring or a line broken elsewhere changes no key; a constant or an expression
changes those of all that computes with it. Code computes with the modules it imports, inside
functions too but not for types only, and with what those import in turn: of selfmoe the rooms that
compute, and packages of plugins.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from selfmoe.registry.syntax import parsed
from selfmoe.store.files import hash_of

COMPUTING = frozenset({"contracts", "models", "mixture", "kits", "evaluation", "pipeline"})
"""Rooms of the engine that decide what comes out; others read, check, store and show."""

ENGINE = "selfmoe"


@cache
def engine_hash(modules: tuple[str, ...], without: tuple[str, ...] = ()) -> str:
    """Return 10 hex digits over modules of the engine and all that they compute with.

    Args:
        modules: Their full names.
        without: Packages and modules that are not used, though others import them.
    """
    reached = closure(modules, frozenset({ENGINE}), without)
    return _hash_of_parts({name: parsed(file).digest for name, file in reached.items()})


@cache
def code_hash(module: str, plugins: frozenset[str] = frozenset()) -> str:
    """Return 10 hex digits over the package of a plugin and all that it computes with.

    Files of the package that are no code count by their bytes.

    Args:
        module: A module of the package, which is imported.
        plugins: Packages of other plugins, from which it may import.
    """
    package, own = _package(module)
    parts = {
        name: hash_of(file) if file.suffix != ".py" else parsed(file).digest
        for name, file in own.items()
    }
    modules = {_module(package, name): file for name, file in own.items() if name.endswith(".py")}
    starts = [name for m, file in modules.items() for name in _imported(m, file)]
    reached = closure(starts, plugins | {ENGINE})
    parts |= {m: parsed(file).digest for m, file in reached.items() if m not in modules}
    return _hash_of_parts(parts)


def closure(
    modules: Iterable[str], packages: frozenset[str], without: Sequence[str] = ()
) -> Mapping[str, Path]:
    """Return name and file of the modules that compute, those they import, and so on.

    Args:
        modules: Where to start.
        packages: Top-level packages that are followed; libraries are none of them.
        without: Packages and modules that are not followed.
    """
    found: dict[str, Path] = {}
    todo = list(modules)
    while todo:
        module = todo.pop()
        left_out = module in found or any(f"{module}.".startswith(f"{w}.") for w in without)
        if not left_out and _computes(module, packages) and (file := _file(module)):
            found[module] = file
            todo += _imported(module, file)
    return found


def _computes(module: str, packages: frozenset[str]) -> bool:
    package, _, below = module.partition(".")
    return package in packages and (package != ENGINE or below.partition(".")[0] in COMPUTING)


def _hash_of_parts(parts: Mapping[str, str]) -> str:
    text = "".join(f"{name}\0{digest}\0" for name, digest in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


# --- modules and their files ----------------------------------------------------------------------


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of a package that is imported; ``None`` if there is none."""
    package, *rest = module.split(".")
    loaded = sys.modules.get(package)
    if not rest:
        return Path(file) if (file := getattr(loaded, "__file__", None)) else None
    for folder in getattr(loaded, "__path__", ()):
        path = Path(folder, *rest)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


def _package(module: str) -> tuple[str, Mapping[str, Path]]:
    """Return the package that a module belongs to, and its files by their paths in it."""
    parts = module.split(".")
    above = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    package = next(p for p in above if sys.modules[p].__file__)  # a namespace has no file
    file = Path(str(sys.modules[package].__file__))
    if file.name != "__init__.py":
        return package, {file.name: file}
    paths = (path.relative_to(file.parent) for path in file.parent.rglob("*"))
    shown = sorted(p for p in paths if not any(_hidden(part) for part in p.parts))
    files = {p.as_posix(): file.parent / p for p in shown if (file.parent / p).is_file()}
    return package, files


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__pycache__"


def _module(package: str, file: str) -> str:
    """Return what a file of a package is called when it is imported."""
    if Path(str(sys.modules[package].__file__)).name != "__init__.py":
        return package
    *folders, name = PurePosixPath(file).with_suffix("").parts
    return ".".join([package, *folders, *([] if name == "__init__" else [name])])


# --- what a module imports ------------------------------------------------------------------------


@cache
def _imported(module: str, file: Path) -> tuple[str, ...]:
    """Return the modules that a module imports from; of a face also those it stands for."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    stub = _stub(file)
    said = [*parsed(file).imports, *(parsed(stub).imports if stub else ())]
    return tuple(dict.fromkeys(_home(_absolute(base, package), name) for base, name in said))


@cache
def _home(module: str, name: str | None) -> str:
    """Return the module that a name of a module is: itself one, or in one behind a face."""
    inside = f"{module}.{name}"
    if name is None or _file(inside):
        return inside if name else module
    face = _file(module)
    if face and (stub := _stub(face)):
        homes = [base for base, known in parsed(stub).imports if known == name]
        return _absolute(homes[0], module) if homes else module
    return module


def _stub(file: Path) -> Path | None:
    """Return the stub of a face: a package that only says where its names are."""
    stub = file.with_suffix(".pyi")
    return stub if stub.name == "__init__.pyi" and stub.is_file() else None


def _absolute(base: str, package: str) -> str:
    """Return the full name of a module that may be written as relative to a package."""
    name = base.lstrip(".")
    above = package.split(".")
    level = len(base) - len(name)
    return ".".join([*above[: len(above) - level + 1], name]).rstrip(".") if level else name
