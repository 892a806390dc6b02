"""Reading settings strictly, and saying everything that is wrong with them at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

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
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f"duplicate key {key!r} in line {line}", key_node.start_mark
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
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
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
    """
    return model.model_validate_json(json.dumps(raw, default=str))


def problems(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return one line for each problem: key path, what is wrong, what is allowed."""
    lines = []
    for item in error.errors(include_url=False):
        location = [str(part) for part in item["loc"]]
        where = ".".join([prefix, *location] if prefix else location)
        if item["type"] == "extra_forbidden":
            known = _fields(model, item["loc"][:-1])
            hint = did_you_mean(location[-1], known)
            lines.append(f"{where}: unknown key{hint} Known keys: {', '.join(known)}.")
        else:
            given = _shorten(item["input"])
            lines.append(f"{where or 'settings'}: {item['msg']}; got {given}.")
    return lines


def _shorten(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the known keys of the section of ``model`` that ``location`` leads to."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a mapping or a list: go on with the type of its values
            current = get_args(current)[-1] if get_args(current) else None
    is_model = isinstance(current, type) and issubclass(current, BaseModel)
    return list(current.model_fields) if is_model else []
