"""What a path means that a user wrote: ``~`` is the home folder, ``$NAME`` a variable's value.

Shells see to both only where they recognise a path, so ``--out=~/runs/x``, ``--set out=~/runs/x``,
a line of YAML and a text in Python reach the program as they were written. Every path is expanded
once, where it comes in: by the settings (``WithPaths``), by the command line
(``selfmoe.cli.options.PathParam``), or by the function of the Python interface.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    FieldSerializationInfo,
    SerializerFunctionWrapHandler,
    Strict,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from selfmoe.contracts.errors import ConfigError

LenientPath = Annotated[Path, Strict(False)]
"""A path in settings that may be a text in Python, too."""

_VARIABLE = re.compile(r"\$(?:(\$)|\{([^}]*)\}|([A-Za-z0-9_]+))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@\S+)?(?::\S+\.gguf)?", re.ASCII)


def expand(path: str | os.PathLike[str]) -> Path:
    """Return the path that is meant by ``~/data``, ``$HOME/data`` or ``${HOME}/data``.

    A dollar sign itself is written ``$$``, a name that begins with ``~`` as ``./~name``.

    Raises:
        ConfigError: If a variable is not set or empty, or there is no such user.
    """
    text = expand_variables(os.fspath(path))
    if not text.startswith("~"):
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        raise ConfigError(
            f"'{text}': there is no user '{user[1:]}' whose home folder {user} could be; write "
            f"./{user} for a name that begins with ~"
        ) from None


def expand_variables(text: str) -> str:
    """Return a text with the values of its environment variables.

    Raises:
        ConfigError: If one is not set or empty.
    """
    return _VARIABLE.sub(lambda match: _value(match, text), text)


def _value(match: re.Match[str], text: str) -> str:
    if match[1]:
        return "$"
    name = match[2] if match[2] is not None else match[3]
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{text}': '{match[0]}' is no environment variable; write $NAME or ${{NAME}}, and $$ "
            "for a dollar sign"
        )
    value = os.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise ConfigError(
            f"'{text}': the environment variable '{name}' {state}; set it, or write $$ for a "
            "dollar sign"
        )
    return value


def split_gguf(name: str) -> tuple[str, str]:
    """Return where a GGUF file is, and which: ``folder:file.gguf``, ``owner/model:file.gguf``.

    The second part is empty where a name has no such end.
    """
    place, _, file = name.rpartition(":")
    return (place, file) if place and file.endswith(".gguf") else (name, "")


def expand_base(name: str) -> str:
    """Return what a base is called: a path expanded, a plugin's name or a hub id as it is."""
    return name if _HUB_ID.fullmatch(name) else str(expand(name))


def written_base(name: str) -> str:
    """Return the text that ``expand_base`` makes this name of."""
    return name if _HUB_ID.fullmatch(name) else written(name)


def written(path: str | Path) -> str:
    """Return the text that ``expand`` makes this path of."""
    text = str(path).replace("$", "$$")
    return f"./{text}" if text.startswith("~") else text


class WithPaths(BaseModel):
    """Settings whose paths are expanded, whichever field they stand in, alone or in a mapping."""

    @field_validator("*", mode="before")
    @classmethod
    def _expand_paths(cls, value: Any, info: ValidationInfo) -> Any:
        if not _holds(cls.model_fields[str(info.field_name)].annotation):
            return value
        try:
            return _changed(value, str | Path, lambda path: type(path)(expand(path)))
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_serializer("*", mode="wrap", when_used="json")
    def _write_paths(
        self, value: Any, write: SerializerFunctionWrapHandler, info: FieldSerializationInfo
    ) -> Any:
        if not _holds(type(self).model_fields[info.field_name].annotation):
            return write(value)
        return _changed(value, Path, written)


def _holds(annotation: Any) -> bool:
    """Return whether a type is that of paths, or of something made of them."""
    return annotation is Path or any(map(_holds, get_args(annotation)))


def _changed(value: Any, kind: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value in which all values of a kind are changed, whatever they stand in."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(item, kind, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_changed(item, kind, change) for item in value])
    return value
