"""What runs in the process of its own: imports one entry point and writes down what it sees.

    python -m selfmoe.cli.check_plugin.probe REPORT POINT VALUE DISTRIBUTION

REPORT gets one JSON object a line: ``stage`` before each step, so that a process that dies or hangs
has said where, and ``findings`` and ``components`` after it. VALUE is a module or a ``.py`` file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from importlib_metadata import EntryPoint
from packaging.utils import canonicalize_name

from selfmoe.cli.findings import Finding
from selfmoe.contracts.component import Component, ComponentConfig
from selfmoe.contracts.hookspecs import HEAVY
from selfmoe.registry.discovery import GROUP, import_file, installed
from selfmoe.registry.inspection import Inspected, clash, inspect_plugin
from selfmoe.registry.moved import new_home
from selfmoe.registry.problem import describe
from selfmoe.registry.registry import Registry

SLOW_S = 1.0
"""Seconds an import may take; every command that needs a component waits for it."""


def main(report: str, point: str, value: str, distribution: str) -> None:
    """Check one entry point and write the report, step by step."""
    with Path(report).open("a", encoding="utf-8") as file:

        def say(**facts: Any) -> None:
            file.write(json.dumps(facts) + "\n")
            file.flush()

        say(stage="import")
        start = time.perf_counter()
        try:
            module = _import(point, value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = _place(error)
            found = describe(error) + (f" at {where}" if where else "")
            say(findings=[asdict(Finding("import", found, "problem", _advice(error, value)))])
            say(stage="done")
            return
        seconds = time.perf_counter() - start
        say(stage="hooks")
        inspected = inspect_plugin(module)
        findings = [*_speed(point, seconds), *_weight(), *_quality(inspected)]
        names = [(kind, cls.name) for kind, cls in inspected.components]
        say(findings=[asdict(finding) for finding in findings], components=names)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        say(stage="others", printed=os.fstat(1).st_size)
        say(findings=[asdict(finding) for finding in _clashes(inspected, distribution)])
        say(stage="done")


def _import(point: str, value: str) -> Any:
    if value.endswith(".py"):
        return import_file(Path(value))
    return EntryPoint(point, value, GROUP).load()


def _place(error: BaseException) -> str:
    """Return file and line where an import failed; empty if that is not in the plugin."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    loaders = (import_file.__code__, EntryPoint.load.__code__)
    ours = {__file__, importlib.__file__, *(code.co_filename for code in loaders)}
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename not in ours and not f.filename.startswith("<")]
    return f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""


def _advice(error: BaseException, value: str) -> str:
    match error:
        case ModuleNotFoundError() if error.name and f"{value}.".startswith(f"{error.name}."):
            return f"Let the entry point name a module that is there; {value} is not."
        case SystemExit():
            return "Do not call sys.exit while the module is imported; raise an error in a method."
        case ImportError() if home := new_home(error):
            return f"Import it from {home}."
        case ModuleNotFoundError():
            return f"Add the distribution of '{error.name}' to the dependencies, or mend the name."
        case SyntaxError():
            return "Mend the line."
        case _:
            return "Let the module be imported without that; do the work in methods."


def _speed(point: str, seconds: float) -> Iterator[Finding]:
    if seconds > SLOW_S:
        advice = "Move what is slow into a second module that methods import."
        yield Finding("import", f"{point} takes {seconds:.1f} s to import", "note", advice)
    else:
        yield Finding("import", f"{point} in {seconds:.2f} s")


def _weight() -> Iterator[Finding]:
    heavy = [name for name in HEAVY if name in sys.modules]
    if heavy:
        advice = "Move what needs them into a second module that methods import."
        yield Finding("import", f"imports {', '.join(heavy)} when it is loaded", "problem", advice)


def _quality(inspected: Inspected) -> Iterator[Finding]:
    """Yield what the hooks brought, what is wrong with it, and what is not said about it."""
    for problem in inspected.problems:
        yield Finding("components", problem.text, "problem", problem.advice)
    for kind, cls in inspected.components:
        if summary := cls.summary():
            yield Finding("components", f"{kind} '{cls.name}': {summary}")
        else:
            advice = "Begin the docstring with one line that says what it is."
            found = f"{kind} '{cls.name}' ({cls.__name__}) has no docstring"
            yield Finding("components", found, "problem", advice)
        yield from _options(kind, cls)


def _options(kind: str, cls: type[Component]) -> Iterator[Finding]:
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, ComponentConfig)):
        found = f"the Config of {kind} '{cls.name}' is no ComponentConfig"
        advice = "Write: class Config(ComponentConfig)"
        yield Finding("options", found, "problem", advice)
        return
    for name, field in cls.Config.model_fields.items():
        if not field.description:
            found = f"option '{name}' of {kind} '{cls.name}' has no description"
            advice = f'Write: {name}: … = Field(…, description="…")'
            yield Finding("options", found, "problem", advice)


def _clashes(inspected: Inspected, distribution: str) -> Iterator[Finding]:
    """Yield the names that plugins of other distributions have taken."""
    others, own = Registry(), canonicalize_name(distribution)
    for point in installed():
        if canonicalize_name(point.distribution) != own:
            others.load(point.name, point.distribution, point.version, point.load)
    for kind, cls in inspected.components:
        if cls.name in others.names(kind):
            problem = clash(kind, cls.name, str(others.entry(kind, cls.name).plugin))
            yield Finding("components", problem.text, "problem", problem.advice)


if __name__ == "__main__":
    main(*sys.argv[1:])
