"""Reading YAML strictly, and writing settings as YAML with a comment after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from selfmoe.config.yaml_core import CoreDumper, CoreLoader
from selfmoe.contracts.errors import ConfigError

COMMENT = 48
"""Column at which comments begin where the values are shorter."""

_YAML_HINTS = {
    r"'\t'": "; indent with spaces, not with tabs",
    "mapping values are not allowed": "; put nested keys on lines of their own, or quote the text",
}
"""Part of a message of the YAML library -> what to do."""


def read_yaml(text: str, origin: str) -> Any:
    """Return the value a YAML text stands for.

    Raises:
        ConfigError: If it is broken or has a key twice; names ``origin`` and the line.
    """
    try:
        return CoreLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{origin} is not valid YAML: {_yaml_problem(error)}") from None


def read_value(text: str, origin: str) -> Any:
    """Return the value a YAML text stands for that was given as one word of a command.

    Raises:
        ConfigError: If it is broken, or part of it would be left out as a comment.
    """
    value = read_yaml(text, origin)
    node = CoreLoader(text).get_single_node()
    if text[node.end_mark.index if node else 0 :].strip().startswith("#"):
        raise ConfigError(f"{origin}: what follows # would be left out; put the text in quotes")
    return value


def _yaml_problem(error: Exception) -> str:
    """Return what is wrong with a YAML text: where, what, and what to do where that is known."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    text = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if error.context and error.context_mark and error.context_mark.line != mark.line:
        text += f", {error.context} from line {error.context_mark.line + 1}"
    return text + next((hint for sign, hint in _YAML_HINTS.items() if sign in text), "")


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


def value_text(value: Any) -> str:
    """Return a value on one line of YAML."""
    text = _dump(value, default_flow_style=True, sort_keys=True, width=2**31)
    return text.removesuffix("...\n").rstrip("\n")


def settings_text(tree: Mapping[str, Any]) -> str:
    """Return settings as YAML that ``read_yaml`` reads as the same."""
    return _dump(tree, sort_keys=False)


def _dump(value: Any, **layout: Any) -> str:
    text: str = yaml.dump(value, Dumper=CoreDumper, allow_unicode=True, **layout)
    return text


def settings_lines(
    tree: Mapping[str, Any], remark: Callable[[tuple[str, ...]], str], above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield the lines of settings, sections indented, every value with a remark behind it.

    Args:
        tree: Nested plain data.
        remark: Returns the comment on the value at a path.
        above: Path of ``tree`` itself.
    """
    for key, value in tree.items():
        path = (*above, str(key))
        start = "  " * len(above) + f"{value_text(key)}:"
        if isinstance(value, Mapping) and value:
            yield start
            yield from settings_lines(value, remark, path)
        else:
            yield f"{start} {value_text(value)}".ljust(COMMENT) + f"  # {remark(path)}"
