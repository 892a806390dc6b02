"""Which plugin a path or a name stands for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from importlib_metadata import distributions
from packaging.utils import canonicalize_name

from selfmoe.cli.check_plugin.project import project_at
from selfmoe.cli.check_plugin.target import Point, Target, declared, group_in, required
from selfmoe.contracts.errors import PluginError, unknown_name
from selfmoe.contracts.paths import expand
from selfmoe.registry.discovery import GROUP, LOCAL


def find(text: str) -> Target:
    """Return what a path or the name of a distribution or entry point stands for.

    Raises:
        PluginError: If there is no plugin at the path.
        UnknownNameError: If nothing of that name is installed.
    """
    path = expand(text)
    if path.exists():
        return _at(path.resolve())
    if os.sep in text or text.endswith(".py"):
        raise PluginError(f"{text} does not exist; name a folder, a .py file, or what is installed")
    return _installed(text)


def _at(path: Path) -> Target:
    if path.is_file() and path.suffix == ".py":
        return Target((Point(path.name, str(path)),))
    if (path / "pyproject.toml").is_file():
        return project_at(path)
    if (path / "__init__.py").is_file():
        return Target((Point(path.name, path.name),), paths=(path.parent,))
    if (path / LOCAL).is_file():
        return Target((Point(LOCAL, str(path / LOCAL)),))
    raise PluginError(
        f"{path} is no plugin\n  Name a folder with a pyproject.toml, a package, a .py file, or a "
        f"folder with a {LOCAL}."
    )


def _installed(name: str) -> Target:
    wanted, known = canonicalize_name(name), set[str]()
    for distribution in distributions():
        with contextlib.suppress(Exception):  # anything that is installed may be damaged
            points = {point.name for point in distribution.entry_points.select(group=GROUP)}
            if wanted == canonicalize_name(distribution.name):
                return _distribution(distribution)
            if name in points:
                return _distribution(distribution, name)
            known |= {distribution.name, *points} if points else set()
    raise unknown_name("installed plugin", name, known)


def _distribution(distribution: Any, only: str | None = None) -> Target:
    """Return an installed distribution, or one of its entry points."""
    groups: dict[str, list[Point]] = {}
    for point in distribution.entry_points:
        groups.setdefault(point.group, []).append(Point(point.name, point.value))
    group = group_in(groups)
    points = tuple(point for point in groups.get(group, ()) if only in (None, point.name))
    name = distribution.name
    findings = [*declared(group, name), *required(list(distribution.requires or ()), name)]
    return Target(points, name, distribution.version, findings=tuple(findings))
