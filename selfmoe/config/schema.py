"""The JSON schema of the settings, with the options of every installed component."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from selfmoe.config.model import ComposeConfig, RunConfig, SpecialiseConfig
from selfmoe.registry.registry import Registry, registry

_SECTIONS = {"trainer": "SpecialiseConfig", "router": "ComposeConfig", "merge": "ComposeConfig"}
"""Kind of component -> the section that names it and holds its options."""


def settings_schema(names: Registry | None = None) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the settings in YAML.

    Whoever names a component is offered its options: they lie under ``$defs``, as
    ``<kind>.<name>``, and apply where the section names it.

    Args:
        names: Whose components; default: the installed ones.
    """
    schema = RunConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Settings of selfmoe run"
    _allow_empty(schema, RunConfig)
    for section in (SpecialiseConfig, ComposeConfig):
        _allow_empty(schema["$defs"][section.__name__], section)
    for entry in (names or registry()).entries():
        if entry.kind not in _SECTIONS:
            continue
        key = f"{entry.kind}.{entry.cls.name}"
        options = entry.cls.Config.model_json_schema()
        schema["$defs"] |= options.pop("$defs", {})
        schema["$defs"][key] = options | {"title": key, "description": entry.cls.summary()}
        section = schema["$defs"][_SECTIONS[entry.kind]]
        section.setdefault("allOf", []).append(_when(entry.kind, entry.cls.name, key))
    return schema


def _allow_empty(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Let sections hold nothing, as ``seeds:`` alone in YAML."""
    for name, field in model.model_fields.items():
        if field.default_factory:
            schema["properties"][name] = _or_nothing(schema["properties"][name])


def _or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _when(kind: str, name: str, key: str) -> dict[str, Any]:
    """Return the rule: where ``kind`` is ``name``, the options are those of ``key``."""
    return {
        "if": {"properties": {kind: {"const": name}}, "required": [kind]},
        "then": {"properties": {"options": _or_nothing({"$ref": f"#/$defs/{key}"})}},
    }
