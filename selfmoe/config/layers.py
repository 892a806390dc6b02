"""Settings in layers: laid over each other, assigned to one by one, freed of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from selfmoe.config.yaml_text import read_value
from selfmoe.contracts.errors import ConfigError
from selfmoe.registry.options import keys_of, members


def assign(raw: dict[str, Any], assignment: str) -> None:
    """Apply one ``a.b.c=value`` to nested settings in place; the value is read as YAML.

    Raises:
        ConfigError: If it has no ``=`` or runs through something that is no section.
    """
    path, equals, text = assignment.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"--set {assignment}: expected key=value, such as brainstorm.n=100")
    section = raw
    for index, key in enumerate(keys[:-1]):
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            where = ".".join(keys[: index + 1])
            raise ConfigError(f"--set {assignment}: '{where}' is a value, not a section")
    section[keys[-1]] = read_value(text, f"--set {assignment}")


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers laid over each other, sections merged, later values winning."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            if isinstance(value, Mapping):
                value = merge(old if isinstance(old, dict) else {}, value)
            result[key] = value
    return result


def without_empty(raw: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a copy of ``raw`` without sections that hold nothing, as ``seeds:`` alone in YAML."""
    kept: dict[str, Any] = {}
    for key, value in raw.items():
        field = model.model_fields.get(str(key))
        inner: Any = members(field.annotation)[0] if field else None
        if value is None and field and field.default_factory:
            continue
        if isinstance(value, Mapping) and keys_of(inner):
            value = without_empty(value, inner)
        elif isinstance(value, Mapping) and get_args(inner) and keys_of(get_args(inner)[-1]):
            section = get_args(inner)[-1]
            value = {
                label: without_empty(entry, section) if isinstance(entry, Mapping) else entry
                for label, entry in value.items()
            }
        kept[key] = value
    return kept


def without(raw: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    """Return a copy of ``raw`` without the values that ``error`` speaks of."""
    kept: dict[str, Any] = json.loads(json.dumps(raw, default=str))
    for item in error.errors(include_url=False):
        section = kept
        for part in map(str, item["loc"]):
            if part not in section:
                break
            if part == str(item["loc"][-1]) or not isinstance(section[part], dict):
                del section[part]
                break
            section = section[part]
    return kept
