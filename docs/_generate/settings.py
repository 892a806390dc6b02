"""The settings of a run and the options of every component, from their pydantic models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from _generate.markdown import code, paragraphs, plain, said, table
from _generate.plugins import own
from selfmoe.config.model import PRESETS, RunConfig
from selfmoe.registry.registry import Entry, Registry

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def sections(model: type[BaseModel] = RunConfig) -> str:
    """Return the settings: first those that lie at the top, then one section a stage."""
    top = {k: f for k, f in model.model_fields.items() if _section_of(f) is None}
    parts = ["### Top level\n", _fields(top)]
    for name, field in model.model_fields.items():
        section = _section_of(field)
        if section is not None:
            parts += [f"### `{name}`\n", _about(section), _fields(section.model_fields)]
    return "\n".join(parts)


def presets(found: Registry | None = None) -> str:
    """Return the settings that a preset or a base's advice changes, beside their defaults.

    What is composed and defined stands there by its labels alone.
    """
    columns: dict[str, Mapping[str, Any]] = {"demo": _short(PRESETS["demo"])}
    for entry in own("base", found):
        advised = entry.cls.settings  # type: ignore[attr-defined]
        runs = {preset: _short(advice.get("run", {})) for preset, advice in advised.items()}
        columns |= _alike(runs, entry.cls.name)
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    default = flat(RunConfig().model_dump(mode="json"))
    rows = [
        (
            code(key),
            _value(default.get(key)),
            *(_value(c[key]) if key in c else "" for c in columns.values()),
        )
        for key in keys
    ]
    return table(("setting", "paper (default)", *columns), rows)


def components(found: Registry | None = None) -> str:
    """Return the options of every component that has some, with what the presets make of them."""
    return "\n".join(
        part
        for entry in own(None, found)
        if entry.cls.Config.model_fields
        for part in _component(entry, found)
    )


def _component(entry: Entry, found: Registry | None) -> Iterator[str]:
    cls = entry.cls
    yield f"### {entry.kind} `{cls.name}`\n"
    yield _about(cls)
    columns = {preset: cls.presets.get(preset, {}) for preset in PRESETS}
    for base in own("base", found):
        advised = base.cls.settings  # type: ignore[attr-defined]
        options = {preset: a.get("options", {}).get(cls.name, {}) for preset, a in advised.items()}
        columns |= _alike(options, base.cls.name)
    yield _fields(cls.Config.model_fields, {k: v for k, v in columns.items() if v})


def _alike(presets: Mapping[str, Mapping[str, Any]], base: str) -> dict[str, Mapping[str, Any]]:
    """Return a column for each set of settings that presets of a base have, headed by all."""
    alike: dict[str, list[str]] = {}
    for preset, values in presets.items():
        if values:
            alike.setdefault(json.dumps(values, default=str), []).append(preset)
    return {f"{', '.join(n)}, base {base}": presets[n[0]] for n in alike.values()}


def _short(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings flat, but of what is composed and defined only the labels."""
    return flat({k: list(v) if k in ("compose", "define") else v for k, v in run.items()})


def _fields(
    fields: Mapping[str, FieldInfo], presets: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    presets = presets or {}
    rows = []
    for name, field in fields.items():
        given = [_value(values[name]) if name in values else "" for values in presets.values()]
        about = said(field.description, f"the setting {name}")
        default = "to be given" if field.is_required() else _value(_default(field))
        rows.append((code(name), _allowed(field), default, *given, about))
    return table(("key", "values", "default", *presets, "meaning"), rows)


def _about(owner: type) -> str:
    """Return the docstring of a section or component, without its list of attributes."""
    parts = [p for p in paragraphs(_clean(owner)) if not p.startswith(("Attributes:", "Args:"))]
    return "\n\n".join(plain(part) for part in parts) + "\n"


def _clean(owner: type) -> str:
    return inspect.cleandoc(owner.__doc__ or "")


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, or a mapping of sections."""
    found = [field.annotation, *get_args(field.annotation)]
    found += [inner for outer in found for inner in get_args(outer)]
    models = [t for t in found if isinstance(t, type) and issubclass(t, BaseModel)]
    return models[0] if models else None


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _value(value: Any) -> str:
    return "none" if value is None else code(json.dumps(value, ensure_ascii=False, default=str))


def _allowed(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(limit, name):_}".replace("_", " ")
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    """Return a type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner if part is not NoneType)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(code(value) for value in inner)
    if origin is list:
        return f"list of {_type(inner[0])}s"
    if origin is dict:
        return "mapping"
    names = {int: "integer", float: "number", bool: "`true`, `false`", str: "text"}
    return names.get(annotation, "path" if annotation.__name__ == "Path" else annotation.__name__)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as ``a.b.c -> value``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found
