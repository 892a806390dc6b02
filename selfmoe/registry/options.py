"""Reading settings strictly, and saying everything that is wrong with them at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from selfmoe.contracts.errors import ConfigError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


_WORDS = {
    "list_type": "Input should be a list, as in [a, b]",
    "bool_type": "Input should be true or false",
    "path_type": "Input should be a path",
    "model_type": "Input should be a section with keys of its own",
    "dict_type": "Input should be a section with keys of its own",
}
"""Type of an error of pydantic -> what it says, where pydantic speaks of Python."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_GROUPED = re.compile(r"[-+]?(?:[0-9][0-9_:,' ]*(?:\.[0-9_]*)?|0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+)")
"""Numbers as some people and YAML 1.1 write them; here they are texts."""


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
            known = keys_of(_follow(model, item["loc"][:-1])[1])
            hint = did_you_mean(path[-1], known) or "."
            allowed = f"Known keys: {', '.join(known)}." if known else "There are no options here."
            found.setdefault(where, []).append(f"unknown key{hint} {allowed}")
        else:
            found.setdefault(where, []).append(_wrong(item["type"], item["msg"], item["input"]))
    # A value that may have one of several types is wrong for each; what is wrong inside it says it.
    return [
        f"{where}: {' Or: '.join(texts)}"
        for where, texts in found.items()
        if not any(other.startswith(f"{where}.") for other in found)
    ]


def _wrong(kind: str, message: str, value: Any) -> str:
    """Return what is wrong with a value, in words of YAML rather than of Python."""
    if kind == "value_error":
        return message.removeprefix("Value error, ") + "."
    message = _WORDS.get(kind, message)
    return f"{message}; got {_shorten(value)}{_hint(kind, value)}."


def _hint(kind: str, value: Any) -> str:
    """Return how to write a value so that it is what it should be, where that can be told."""
    if kind in ("int_type", "float_type") and isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return "; write it without quotes"
        return "; write a number in digits alone" if _GROUPED.fullmatch(value) else ""
    if kind in ("string_type", "path_type") and isinstance(value, bool | int | float):
        return "; put it in quotes"
    return ""


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
        kinds = members(current)
        if len(kinds) > 1:
            current = next((kind for kind in kinds if get_origin(kind) is list), None)
            continue
        path.append(str(part))
        if keys_of(kinds[0]):
            field = kinds[0].model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a mapping or a list: go on with the type of its values
            current = get_args(kinds[0])[-1] if get_args(kinds[0]) else None
    return path, members(current)[0]


def members(annotation: Any) -> list[Any]:
    """Return what a type is a union of, ``None`` left out; the type itself if it is no union."""
    if get_origin(annotation) not in (Union, UnionType):
        return [_bare(annotation)]
    return [_bare(member) for member in get_args(annotation) if member is not NoneType]


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def keys_of(annotation: Any) -> list[str]:
    """Return the keys of a section; none for any other type."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return list(annotation.model_fields) if is_model else []
