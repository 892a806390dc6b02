"""Reading settings strictly, and saying everything that is wrong with them at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from selfmoe.errors import ConfigError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-4 as a number, keeps yes/no as text and refuses duplicate keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a word or a number", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"duplicate key {key!r}", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(text: str, origin: str) -> Any:
    """Return the value a YAML text stands for.

    Raises:
        ConfigError: If it is broken or has a key twice; names ``origin`` and the line.
    """
    try:
        loader = _Loader(text)
        loader.name = origin  # what its messages call the text
        return loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{origin} is not valid YAML: {detail}") from None


def read_yaml_file(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: If it cannot be read, is broken, or holds something else than a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    value = read_yaml(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, not {type(value).__name__}")
    return value


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
    section[keys[-1]] = read_yaml(text, f"--set {assignment}")


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


def validate(model: type[Model], raw: Mapping[str, Any]) -> Model:
    """Return ``model`` built strictly from plain data; raises pydantic's ``ValidationError``.

    Goes through JSON so that paths may be strings and tuples lists, while ``"8"`` is no number.

    Raises:
        ConfigError: If a text is not Unicode, as names of files may be.
    """
    try:
        text = json.dumps(raw, default=str, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ConfigError("settings refer to themselves; write them out without anchors") from None
    if "\\u0000" in text:
        raise ConfigError("settings hold a NUL character; remove it")
    try:
        return model.model_validate_json(text.encode())
    except UnicodeEncodeError as error:
        where = f"{error.object[max(0, error.start - 40) : error.end + 20]!r}"
        raise ConfigError(f"settings hold a text that is not UTF-8, near {where}") from None


def problems(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return one line for each problem: key path, what is wrong, what is allowed."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        path, _ = _follow(model, item["loc"])
        where = ".".join([prefix, *path] if prefix else path) or "settings"
        if item["type"] == "extra_forbidden":
            known = _keys(_follow(model, item["loc"][:-1])[1])
            hint = did_you_mean(path[-1], known) or "."
            found.setdefault(where, []).append(f"unknown key{hint} Known keys: {', '.join(known)}.")
        else:
            text = f"{item['msg']}; got {_shorten(item['input'])}."
            found.setdefault(where, []).append(text)
    # A value that may have one of several types is wrong for each; what is wrong inside it says it.
    return [
        f"{where}: {' Or: '.join(texts)}"
        for where, texts in found.items()
        if not any(other.startswith(f"{where}.") for other in found)
    ]


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


def _shorten(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _follow(model: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], Any]:
    """Return the key path that a location of pydantic means, and the type of what lies there.

    Where a value may have one of several types, pydantic names the type as if it were a key.
    """
    path: list[str] = []
    current: Any = model
    for part in location:
        members = _members(current)
        if len(members) > 1:
            current = next((m for m in members if get_origin(m) is list), None)
            continue
        path.append(str(part))
        if _keys(members[0]):
            field = members[0].model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a mapping or a list: go on with the type of its values
            current = get_args(members[0])[-1] if get_args(members[0]) else None
    return path, _members(current)[0]


def _members(annotation: Any) -> list[Any]:
    """Return what a type is a union of, ``None`` left out; the type itself if it is no union."""
    if get_origin(annotation) not in (Union, UnionType):
        return [annotation]
    return [member for member in get_args(annotation) if member is not NoneType]


def _keys(annotation: Any) -> list[str]:
    """Return the keys of a section; none for any other type."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return list(annotation.model_fields) if is_model else []
