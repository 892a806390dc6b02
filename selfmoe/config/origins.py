"""Where every value of complete settings comes from: a default, a preset, the base, the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selfmoe.config.model import PRESETS, RunConfig
from selfmoe.registry.registry import Kind

Path = tuple[str, ...]
Layers = Mapping[str, Mapping[str, Any]]

_BY_PLUGINS = {("base",), ("domains",), ("specialise", "trainer"), ("execute", "executor")}


def origins(config: RunConfig, asked: Mapping[str, Any], layers: Layers) -> dict[Path, str]:
    """Return the origin of every value, by its path.

    Args:
        config: Complete settings, as ``resolve`` returns them.
        asked: What the user asked for in all.
        layers: The same by where it was said, later ones winning: ``{"--set": {...}}``.
    """
    known = list(_recommended(config))
    found = {}
    for path, value in leaves(config.model_dump(mode="json")):
        origin = _last(known, path) or _unasked(config, path, value)
        if _has(asked, path) and not (value is not None and _at(asked, path) is None):
            origin = _last(layers.items(), path) or origin
        found[path] = origin
    return found


def leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value that is no section, with its path; empty sections count as values."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def components(config: RunConfig) -> Iterator[tuple[Path, Kind, str]]:
    """Yield the components of a run that have a section of their own, with its path."""
    if config.generate.backend is not None:
        yield ("generate",), "backend", config.generate.backend
    if config.execute.executor is not None:
        yield ("execute",), "executor", config.execute.executor
    yield ("specialise",), "trainer", str(config.specialise.trainer)
    for label, entry in (config.compose or {}).items():
        yield ("compose", label), *entry.component


def _recommended(config: RunConfig) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what preset, base and components recommend, in the order ``resolve`` lays them."""
    names, preset = config.registry, str(config.preset)
    base = str(config.base)
    advice = names.get("base", base).settings.get(preset, {}) if _is_plugin(config) else {}
    yield f"preset {preset}", PRESETS.get(preset, {})
    yield f"base {base}", advice.get("run", {})
    for path, kind, name in components(config):
        own = names.get(kind, name).presets.get(preset)
        if own:
            yield f"preset {preset} of {kind} {name}", _below((*path, "options"), own)
        advised = advice.get("options", {}).get(name)
        if advised:
            yield f"base {base}", _below((*path, "options"), advised)


def _unasked(config: RunConfig, path: Path, value: Any) -> str:
    """Return the origin of a value that nobody recommends and nobody asked for."""
    if path == ("preset",) and _is_plugin(config):
        return f"base {config.base}"
    composer = path[0] == "compose" and path[-1] in ("router", "merge")
    by_plugins = value is not None and (path in _BY_PLUGINS or composer)
    return "plugin default" if by_plugins else "default"


def _is_plugin(config: RunConfig) -> bool:
    return config.base in config.registry.names("base")


def _below(path: Path, tree: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in reversed(path):
        tree = {key: tree}
    return tree


def _last(layers: Any, path: Path) -> str | None:
    return next((name for name, tree in reversed(list(layers)) if _has(tree, path)), None)


def _has(tree: Any, path: Path) -> bool:
    for key in path:
        if not (isinstance(tree, Mapping) and key in tree):
            return False
        tree = tree[key]
    return True


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree
