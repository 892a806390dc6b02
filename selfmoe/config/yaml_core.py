"""What a word of YAML stands for: the core schema of YAML 1.2, which is what people expect.

PyYAML knows YAML 1.1, in which ``0123`` is 83, ``1:30`` is 90, ``no`` is false, a date is no text
and ``1e-4`` is no number. Here, a number is written in digits, as ``123``, ``0123`` (the same),
``0.5``, ``1e-4``, ``0x1f`` or ``0o17``; only ``true`` and ``false`` are truth values, ``null`` and
``~`` nothing; all else is text. Names of keys are texts as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"

_FALSE, _TRUE = ("false", "False", "FALSE"), ("true", "True", "TRUE")

Rule = tuple[str, str, Callable[[str], Any]]

SCHEMA: dict[str, Rule] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": ("|".join((*_TRUE, *_FALSE)), "tTfF", lambda text: text in _TRUE),
    "int": (
        r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        "-+0123456789",
        lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    ),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
        lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    ),
}
"""Type -> how its values are written, how they may begin, and what makes them of a text."""


class CoreLoader(yaml.SafeLoader):
    """Reads these types, texts, lists and mappings, and nothing else; refuses a key twice."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        f"{_TAG}{kind}": yaml.SafeLoader.yaml_constructors[f"{_TAG}{kind}"]
        for kind in ("str", "seq")
    } | {None: yaml.SafeLoader.construct_undefined}


CoreLoader.yaml_implicit_resolvers = {}


class CoreDumper(yaml.SafeDumper):
    """Quotes texts that would be read as something else, by YAML 1.1 or 1.2."""


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\Z")


def _scalar(kind: str, pattern: re.Pattern[str], make: Callable[[str], Any]) -> Any:
    def construct(loader: CoreLoader, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        if not pattern.match(text):
            raise _error(f"{text!r} is no {kind}", node)
        return make(text)

    return construct


def _mapping(loader: CoreLoader, node: yaml.MappingNode) -> dict[str, Any]:
    _check_keys(node)
    loader.flatten_mapping(node)
    return {key.value: loader.construct_object(value) for key, value in node.value}


def _check_keys(node: yaml.MappingNode) -> None:
    """Refuse what is no name, and a name twice; of what is merged in, one's own goes first."""
    seen = set()
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _NAMES:
            raise _error("a key must be a word or a number", key)
        if key.value in seen:
            raise _error(f"duplicate key {key.value!r}", key)
        seen.add(key.value)


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_NAMES = {f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool")}

for _kind, (_pattern, _first, _make) in SCHEMA.items():
    _written = _rule(_pattern)
    CoreLoader.add_constructor(f"{_TAG}{_kind}", _scalar(_kind, _written, _make))
    for _class in (CoreLoader, CoreDumper):
        _begins = [*_first, *([""] if _written.match("") else [])]
        _class.add_implicit_resolver(f"{_TAG}{_kind}", _written, _begins)
CoreLoader.add_implicit_resolver(_MERGE, _rule("<<"), ["<"])
CoreLoader.add_constructor(f"{_TAG}map", _mapping)
