"""A distribution that is not installed: what its ``pyproject.toml`` says."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from selfmoe.cli.check_plugin.target import Point, Target, declared, group_in, required
from selfmoe.cli.findings import Finding


def project_at(folder: Path) -> Target:
    """Return the distribution whose ``pyproject.toml`` lies in a folder."""
    findings: list[Finding] = []
    data = _read(folder / "pyproject.toml", findings)
    project = _table(data, "project")
    name, version = str(project.get("name", "")), str(project.get("version", ""))
    if data and not name:
        advice = "Add a [project] table with name, version and dependencies."
        findings.append(Finding("metadata", "pyproject.toml names no project", "problem", advice))
    paths = tuple(_paths(folder, data))
    groups = _table(project, "entry-points")
    group = group_in(groups)
    points = tuple(Point(key, str(value)) for key, value in _table(groups, group).items())
    if data:
        findings += _entry_points(project, group, folder)
        dependencies = project.get("dependencies", [])
        if isinstance(dependencies, list) and name:
            findings += required([str(one) for one in dependencies], name)
        findings += _python(str(project.get("requires-python", "")))
    return Target(points or tuple(_guessed(paths)), name, version, paths, tuple(findings))


def _read(path: Path, findings: list[Finding]) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = f"{path} cannot be read: {error}"
        findings.append(Finding("metadata", found, "problem", "Mend the line."))
        return {}


def _table(data: Any, *keys: str) -> Mapping[str, Any]:
    """Return a table within tables; empty if it is not there, or is no table."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _entry_points(project: Mapping[str, Any], group: str, folder: Path) -> Iterator[Finding]:
    dynamic = project.get("dynamic", [])
    if not group and isinstance(dynamic, list) and "entry-points" in dynamic:
        found = "its entry points are made when it is built"
        yield Finding("entry points", found, "note", "Install it and check it by its name, too.")
    else:
        yield from declared(group, str(folder / "pyproject.toml"))


def _python(text: str) -> Iterator[Finding]:
    try:
        fits = platform.python_version() in SpecifierSet(text, prereleases=True)
    except InvalidSpecifier:
        advice = 'Write it as in: requires-python = ">=3.11"'
        yield Finding("metadata", f"requires-python is '{text}'", "problem", advice)
        return
    if not fits:
        found = f"needs Python {text}, this is {platform.python_version()}"
        yield Finding("metadata", found, "problem", "Check it with that Python.")


def _paths(folder: Path, data: Mapping[str, Any]) -> Iterator[Path]:
    """Yield where modules can be: the folder, ``src``, and what setuptools is told."""
    tools = _table(data, "tool", "setuptools")
    where = _table(tools, "packages", "find").get("where", [])
    places = [*(where if isinstance(where, list) else []), *_table(tools, "package-dir").values()]
    for place in dict.fromkeys(["", "src", *map(str, places)]):
        if (folder / place).is_dir():
            yield folder / place


def _guessed(paths: tuple[Path, ...]) -> Iterator[Point]:
    """Yield the modules that look like plugins, where no entry point names one."""
    for path in paths:
        for file in sorted([*path.glob("*/__init__.py"), *path.glob("*.py")]):
            if "SELFMOE_API" in file.read_text("utf-8", "replace"):
                name = file.parent.name if file.name == "__init__.py" else file.stem
                yield Point(name, name)
