"""Where plugins are: the entry points of installed distributions, and a file beside a run file."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from importlib_metadata import EntryPoint, distributions
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from selfmoe import __version__
from selfmoe.contracts.errors import PluginError

OWN = "selfmoe"
GROUP = "selfmoe"
"""The group of entry points that plugins use."""

LOCAL = "selfmoe_plugin.py"


@dataclass(frozen=True)
class Installed:
    """An entry point, not imported yet.

    Attributes:
        name: Of the entry point.
        distribution: Who brought it.
        version: Of the distribution.
        value: The module, as written in the entry point.
        load: Imports it and returns it; raises whatever that raises, and ``PluginError`` if the
            distribution asks for another selfmoe.
    """

    name: str
    distribution: str
    version: str
    value: str
    load: Callable[[], ModuleType]


def installed() -> Iterator[Installed]:
    """Yield the entry points to load: those of selfmoe itself, then others, by name."""
    names = wanted()
    found: dict[str, list[Installed]] = {}
    for distribution in distributions():
        # Anything that is installed may be damaged, and most of it is no plugin.
        with contextlib.suppress(Exception):
            if points := list(distribution.entry_points.select(group=GROUP)):
                name, version = _provenance(distribution)
                found.setdefault(name, [_installed(p, name, version, distribution) for p in points])
    everything = [point for points in found.values() for point in points]
    order = sorted(everything, key=lambda p: (p.distribution != OWN, p.name, p.distribution))
    yield from (point for point in order if names is None or point.name in names)


def wanted() -> set[str] | None:
    """Return the plugins that ``SELFMOE_PLUGINS`` names; ``None`` if it is not set."""
    text = os.environ.get("SELFMOE_PLUGINS")
    return None if text is None else {part.strip() for part in text.split(",") if part.strip()}


def import_file(path: Path) -> ModuleType:
    """Return the module that a file is, under a name no other file has."""
    # Run files in two folders may each have one: modules and code hashes are kept by name.
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def requirement_problem(requirements: list[str], distribution: str) -> str | None:
    """Return why a distribution cannot be used with this selfmoe, by what it requires.

    pip checks that when it installs the distribution, and not when selfmoe changes later.

    Args:
        requirements: As in ``Requires-Dist``; what cannot be read is passed over.
        distribution: Whose they are.
    """
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if canonicalize_name(requirement.name) != OWN or not applies:
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            newer = any(
                part.operator in (">=", ">", "~=", "==", "===")
                for part in requirement.specifier
                if not part.contains(__version__, prereleases=True)
            )
            upgrade = OWN if newer else distribution
            return (
                f"needs selfmoe{requirement.specifier}, this is {__version__}; "
                f"upgrade {upgrade}: pip install --upgrade {upgrade}"
            )
    return None


def _installed(point: EntryPoint, name: str, version: str, distribution: Any) -> Installed:
    def load() -> ModuleType:
        if name != OWN:  # which requires no other version of itself
            requirements: list[str] = []
            with contextlib.suppress(Exception):  # as when METADATA is missing
                requirements = list(distribution.requires or ())
            if problem := requirement_problem(requirements, name):
                raise PluginError(problem)
        module: ModuleType = point.load()
        return module

    return Installed(point.name, name, version, point.value, load)


def _provenance(distribution: Any) -> tuple[str, str]:
    try:
        return distribution.name, distribution.version
    except Exception:  # importlib_metadata raises several types when METADATA is missing
        return "unknown", "?"
