"""Registries for tests: of the components that are given, with or without what is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

from selfmoe import hookimpl
from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import PluginError
from selfmoe.contracts.hookspecs import API
from selfmoe.registry.registry import KINDS, Kind, Registry, registry

Provider = ModuleType | type[Component]
"""What brings components: a plugin's entry-point module, or a component's class itself."""


def registry_of(*providers: Provider, installed: bool = False) -> Registry:
    """Return a registry of the given plugins, loaded as installed ones would be.

    Args:
        providers: Modules with hooks, and component classes.
        installed: Whether the installed plugins are there, too.

    Raises:
        PluginError: If one cannot be loaded; says why.
    """
    # the cached registry belongs to all: what is added here is added to a fresh one
    found = registry.__wrapped__() if installed else Registry()
    for provider in providers:
        module = provider if isinstance(provider, ModuleType) else as_plugin(provider)
        brought = {entry.cls for entry in _load(Registry(), module).entries()}
        if not brought <= {entry.cls for entry in found.entries()}:
            _load(found, module)
    return found


def _load(found: Registry, module: ModuleType) -> Registry:
    found.load(module.__name__, module.__name__, "test", lambda: module)
    if reason := found.plugins[-1].reason:
        raise PluginError(f"plugin '{module.__name__}' {reason}")
    return found


def as_plugin(*classes: type[Component]) -> ModuleType:
    """Return a module whose hooks register the classes."""
    module = ModuleType("-".join(cls.__name__.lower() for cls in classes))
    module.SELFMOE_API = API  # type: ignore[attr-defined]
    for kind, (hook, _) in KINDS.items():
        chosen = [cls for cls in classes if kind_of(cls) == kind]
        if chosen:
            setattr(module, hook, hookimpl(_returning(chosen)))
    return module


def _returning(classes: Sequence[type[Component]]) -> Callable[[], Sequence[type[Component]]]:
    def register() -> Sequence[type[Component]]:
        return classes

    return register


def kind_of(cls: type[Component]) -> Kind:
    """Return the kind of a component.

    Raises:
        TypeError: If it is of none.
    """
    for kind, (_, base) in KINDS.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return kind
    raise TypeError(f"{cls!r} is no component class")
