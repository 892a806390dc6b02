"""Finds plugins, keeps where each component came from, answers "who provides 'x'?".

Entry points load one by one, each guarded: a broken one is remembered with its reason and never
takes the others down.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import ConfigError, PluginError, counted, unknown_name
from selfmoe.registry.code import code_hash
from selfmoe.registry.discovery import LOCAL, OWN, import_file, installed, wanted
from selfmoe.registry.inspection import KINDS, NAME, Inspected, Kind, inspect_plugin
from selfmoe.registry.problem import Problem, explain

__all__ = [
    "KINDS",
    "LOCAL",
    "NAME",
    "OWN",
    "Entry",
    "Kind",
    "Plugin",
    "Registry",
    "registry",
]


@dataclass(frozen=True)
class Plugin:
    """One entry point and what became of it.

    Attributes:
        name: Of the entry point.
        distribution: Who brought it.
        version: Of the distribution.
        reason: Why it cannot be used; empty when it is ok.
        seconds: What importing it and asking its hooks took.
    """

    name: str
    distribution: str
    version: str
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether its components can be used."""
        return not self.reason

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Entry:
    """A component class, the plugin that brought it, and options it has by its name alone."""

    kind: Kind
    cls: type[Component]
    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)


class Registry:
    """The components of all plugins that could be loaded."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], Entry] = {}

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
        from selfmoe.registry.options import problems, validate

        entry = self.entry(kind, name)
        cls: Any = entry.cls
        try:
            return cls(validate(cls.Config, {**entry.options, **(options or {})}))
        except ValidationError as error:
            lines = problems(error, cls.Config)
            raise ConfigError(f"options of {kind} '{name}':\n  " + "\n  ".join(lines)) from None

    def identity(self, kind: Kind, name: str) -> dict[str, Any]:
        """Return name, options and code hash of a component; part of every cell key."""
        entry = self.entry(kind, name)
        return {
            "kind": kind,
            "name": name,
            "code": code_hash(entry.cls.__module__, self._packages),
            **({"options": dict(entry.options)} if entry.options else {}),
        }

    @property
    def _packages(self) -> frozenset[str]:
        """Packages of plugins, from which other plugins may import."""
        return frozenset(e.cls.__module__.partition(".")[0] for e in self._entries.values())

    def with_domains(self, defined: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Registry:
        """Return a registry that knows some domains more.

        Args:
            defined: Name -> the domain plugin it is made of, and options for it. A name that is
                taken and a plugin that is unknown are passed over.
        """
        if not defined:
            return self
        wider = copy.copy(self)
        wider._entries = dict(self._entries)
        for name, (parent, options) in defined.items():
            entry = self._entries.get(("domain", parent))
            if entry is not None and ("domain", name) not in self._entries:
                facts = {"name": name, "__module__": entry.cls.__module__, "default": False}
                cls = type(
                    entry.cls.__name__, (entry.cls,), {"__doc__": entry.cls.__doc__, **facts}
                )
                wider._entries["domain", name] = Entry("domain", cls, entry.plugin, dict(options))
        return wider

    # --- loading --------------------------------------------------------------------------------

    def load(self, name: str, distribution: str, version: str, load: Callable[[], Any]) -> None:
        """Load one plugin by calling ``load``; whatever goes wrong ends up in its ``reason``."""
        start = time.perf_counter()
        found = self._inspected(load)
        reason = ""
        if found.problems:
            first, more = found.problems[0], len(found.problems) - 1
            see = f" (and {counted(more, 'problem')} more, see: selfmoe check-plugin {name})"
            reason = " ".join(first.text.split()) + (see if more else "")
        seconds = time.perf_counter() - start
        plugin = Plugin(name, distribution, version, reason, seconds)
        self.plugins.append(plugin)
        if plugin.ok:
            for kind, cls in found.components:
                self._entries[kind, cls.name] = Entry(kind, cls, plugin)

    def _inspected(self, load: Callable[[], Any]) -> Inspected:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return inspect_plugin(load(), self._provider)
        except KeyboardInterrupt:
            raise
        except PluginError as error:
            return Inspected(problems=[Problem(str(error))])
        except BaseException as error:  # whatever it raises, the other plugins go on
            return Inspected(problems=[Problem(explain(error))])

    def _provider(self, kind: Kind, name: str) -> str | None:
        entry = self._entries.get((kind, name))
        return str(entry.plugin) if entry else None


@cache
def registry(local: Path | None = None) -> Registry:
    """Return the registry of all installed plugins.

    Args:
        local: A folder whose ``selfmoe_plugin.py``, if there is one, is a plugin too.
    """
    found = Registry()
    for point in installed():
        found.load(point.name, point.distribution, point.version, point.load)
    known = {plugin.name for plugin in found.plugins}
    for name in sorted((wanted() or set()) - known):
        reason = "SELFMOE_PLUGINS names it, but it is not installed"
        found.plugins.append(Plugin(name, "unknown", "?", reason))
    if local is not None and (local / LOCAL).is_file():
        found.load(LOCAL, LOCAL, "local", lambda: import_file(local / LOCAL))
    return found
