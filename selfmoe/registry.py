"""Finds plugins, keeps where each component came from, answers "who provides 'x'?".

Entry points load one by one, each guarded: a broken one is remembered with its reason and never
takes the others down.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy
from importlib_metadata import EntryPoint, distributions
from pydantic import ValidationError

import selfmoe.hookspecs as hookspecs
from selfmoe.components import Base, Component, Domain, Merge, Router, Trainer
from selfmoe.errors import ConfigError, PluginError, did_you_mean, unknown_name

Kind = Literal["base", "domain", "trainer", "router", "merge"]

KINDS: Mapping[Kind, tuple[str, type[Component]]] = {
    "base": ("register_bases", Base),
    "domain": ("register_domains", Domain),
    "trainer": ("register_trainers", Trainer),
    "router": ("register_routers", Router),
    "merge": ("register_merges", Merge),
}
"""Kind of component -> the hook that registers it and the class it must extend."""

OWN = "selfmoe"
LOCAL = "selfmoe_plugin.py"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What components and systems may be called: safe as a folder, a key and a word on a line."""


@dataclass(frozen=True)
class Plugin:
    """One entry point and what became of it; ``reason`` is empty when it is ok."""

    name: str
    distribution: str
    version: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether its components can be used."""
        return not self.reason

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Entry:
    """A component class and the plugin that brought it."""

    kind: Kind
    cls: type[Component]
    plugin: Plugin


class Registry:
    """The components of all plugins that could be loaded."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._manager = pluggy.PluginManager("selfmoe")
        self._manager.add_hookspecs(hookspecs)

    # --- asking ---------------------------------------------------------------------------------

    def names(self, kind: Kind) -> list[str]:
        """Return the names of all components of a kind, sorted."""
        return sorted(name for k, name in self._entries if k == kind)

    def entries(self) -> list[Entry]:
        """Return all components, by kind and name."""
        order = list(KINDS)
        return sorted(self._entries.values(), key=lambda e: (order.index(e.kind), e.cls.name))

    def entry(self, kind: Kind, name: str) -> Entry:
        """Return the component called ``name`` with its provenance.

        Raises:
            UnknownNameError: If nobody provides it.
        """
        found = self._entries.get((kind, name))
        if found is None:
            error = unknown_name(kind, name, self.names(kind))
            if self.broken:
                error.args = (f"{error}\n  {self.broken}",)
            raise error
        return found

    @property
    def broken(self) -> str:
        """Which plugins are broken and why, as a sentence; empty if none is."""
        found = [f"{plugin.name} ({plugin.reason})" for plugin in self.plugins if not plugin.ok]
        return f"Broken plugins: {', '.join(found)}." if found else ""

    def get(self, kind: Kind, name: str) -> type[Any]:
        """Return the component class called ``name``; raises as ``entry`` does."""
        return self.entry(kind, name).cls

    def defaults(self, kind: Kind) -> list[str]:
        """Return the components a run uses that does not say otherwise, sorted by name."""
        return [name for name in self.names(kind) if self.get(kind, name).default]

    def configure(self, kind: Kind, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return an instance of the component with its options validated.

        Raises:
            ConfigError: If an option is unknown or wrong; all problems at once.
        """
        from selfmoe.settings import problems, validate

        cls = self.get(kind, name)
        try:
            return cls(validate(cls.Config, options or {}))
        except ValidationError as error:
            lines = problems(error, cls.Config)
            raise ConfigError(f"options of {kind} '{name}':\n  " + "\n  ".join(lines)) from None

    def identity(self, kind: Kind, name: str) -> dict[str, str]:
        """Return distribution, version and code hash of a component; part of every cell key."""
        entry = self.entry(kind, name)
        return {
            "kind": kind,
            "name": name,
            "distribution": entry.plugin.distribution,
            "version": entry.plugin.version,
            "code": code_hash(entry.cls.__module__),
        }

    # --- loading --------------------------------------------------------------------------------

    def load(self, name: str, distribution: str, version: str, load: Any) -> None:
        """Load one plugin by calling ``load``; whatever goes wrong ends up in its ``reason``."""
        plugin = Plugin(name, distribution, version)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                entries = self._collect(plugin, load())
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, PluginError) else _describe(error)
            plugin = Plugin(name, distribution, version, " ".join(reason.split()))
            if self._manager.has_plugin(_unique(plugin)):
                self._manager.unregister(name=_unique(plugin))
            entries = []
        self.plugins.append(plugin)
        self._entries |= {(entry.kind, entry.cls.name): entry for entry in entries}

    def _collect(self, plugin: Plugin, module: ModuleType) -> list[Entry]:
        api = getattr(module, "SELFMOE_API", None)
        if api != hookspecs.API:
            raise PluginError(_api_problem(api))
        self._manager.register(module, _unique(plugin))
        self._check_hooks(module)
        entries: dict[tuple[str, str], Entry] = {}
        for kind, (hook, base) in KINDS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin is module:
                    for cls in _listed(hook, impl.function()):
                        self._check_component(kind, base, cls, entries)
                        entries[kind, cls.name] = Entry(kind, cls, plugin)
        if not entries:
            raise PluginError("registers nothing: no function is marked with selfmoe.hookimpl")
        return list(entries.values())

    def _check_hooks(self, module: ModuleType) -> None:
        known = [hook for hook, _ in KINDS.values()]
        for caller in self._manager.get_hookcallers(module) or []:
            if not caller.has_spec():
                hint = did_you_mean(caller.name, known)
                raise PluginError(f"implements unknown hook '{caller.name}'{hint}")

    def _check_component(
        self, kind: Kind, base: type, cls: Any, siblings: Mapping[tuple[str, str], Entry]
    ) -> None:
        hook = KINDS[kind][0]
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(f"{hook} returned {cls!r}, which is no subclass of {base.__name__}")
        name = getattr(cls, "name", None)
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise PluginError(
                f"{cls.__name__}.name is {name!r}; allowed are up to 64 lower-case letters, "
                "digits, - and _"
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise PluginError(f"{kind} '{name}' ({cls.__name__}) does not implement {missing}")
        taken = self._entries.get((kind, name))
        if taken or (kind, name) in siblings:
            other = taken.plugin if taken else "the same plugin"
            raise PluginError(f"{kind} '{name}' is already provided by {other}")


def _unique(plugin: Plugin) -> str:
    """Return a name that no plugin of another distribution has."""
    return f"{plugin.distribution}:{plugin.name}"


def _listed(hook: str, classes: Any) -> Iterable[type[Component]]:
    if not isinstance(classes, Iterable):
        raise PluginError(f"{hook} returned {classes!r}; it must return a list of classes")
    return classes


def _describe(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r}) while loading"
    return f"{type(error).__name__}: {error}"


def _api_problem(api: Any) -> str:
    if not isinstance(api, int):
        return f"does not state SELFMOE_API = {hookspecs.API}"
    older = "the plugin" if api < hookspecs.API else "selfmoe"
    return f"was written for plugin API {api}, this selfmoe has {hookspecs.API}; upgrade {older}"


@cache
def code_hash(module: str) -> str:
    """Return 10 hex digits over the .py files of the package that ``module`` belongs to."""
    parts = module.split(".")
    above = (sys.modules[".".join(parts[:n])].__file__ for n in range(1, len(parts) + 1))
    file = Path(next(filter(None, above)))  # namespace packages have no file of their own
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(file.parent).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:10]


def _installed() -> Iterator[tuple[EntryPoint, str, str]]:
    """Yield the entry points to load, each with distribution and version: ours, then by name."""
    names = _wanted()
    found: dict[str, tuple[str, list[EntryPoint]]] = {}
    for distribution in distributions():
        # Anything that is installed may be damaged, and most of it is no plugin.
        with contextlib.suppress(Exception):
            points = list(distribution.entry_points.select(group="selfmoe"))
            if points:
                name, version = _provenance(distribution)
                found.setdefault(name, (version, points))
    everything = [
        (point, name, version) for name, (version, points) in found.items() for point in points
    ]
    for point, name, version in sorted(everything, key=lambda p: (p[1] != OWN, p[0].name, p[1])):
        if names is None or point.name in names:
            yield point, name, version


def _wanted() -> set[str] | None:
    """Return the plugins that ``SELFMOE_PLUGINS`` names; ``None`` if it is not set."""
    text = os.environ.get("SELFMOE_PLUGINS")
    return None if text is None else {part.strip() for part in text.split(",") if part.strip()}


def _provenance(distribution: Any) -> tuple[str, str]:
    try:
        return distribution.name, distribution.version
    except Exception:  # importlib_metadata raises several types when METADATA is missing
        return "unknown", "?"


def _import_file(path: Path) -> ModuleType:
    # Run files in two folders may each have one: modules and code hashes are kept by name.
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def registry(local: Path | None = None) -> Registry:
    """Return the registry of all installed plugins.

    Args:
        local: A folder whose ``selfmoe_plugin.py``, if there is one, is a plugin too.
    """
    found = Registry()
    for point, distribution, version in _installed():
        found.load(point.name, distribution, version, point.load)
    known = {plugin.name for plugin in found.plugins}
    for name in sorted((_wanted() or set()) - known):
        reason = "SELFMOE_PLUGINS names it, but it is not installed"
        found.plugins.append(Plugin(name, "unknown", "?", reason))
    if local is not None and (local / LOCAL).is_file():
        found.load(LOCAL, LOCAL, "local", lambda: _import_file(local / LOCAL))
    return found
