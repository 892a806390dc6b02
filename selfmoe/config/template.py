"""A configuration with every setting explained, written from the models that check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.config.origins import components
from selfmoe.config.resolve import resolve
from selfmoe.config.yaml_text import value_text
from selfmoe.registry.options import members

DECIDED = ("base", "domains", "track", "out", "seed")
"""Settings that are written to be changed; the others are there to be uncommented."""

HEAD = """\
# Settings of selfmoe. Run them:        selfmoe run {path}
# See what they amount to:             selfmoe config show {path}
# See what a run would do:             selfmoe run {path} --dry-run
#
# A line that begins with # is off: remove the # to set the value, keeping the indentation.
# The values shown are those in force with the base and preset below; another base or preset
# may bring others. An empty section means: everything in it as by default.
"""

COMPOSE = """\
## Stage 6, compose: the experts become one model, once for every label.
compose:
  ## Options given here change a default system. To have others, name them all with their
  ## composer, as in:  mine: {router: topk, options: {k: 2}}"""


def template(path: str = "selfmoe.yaml") -> str:
    """Return the text of a configuration that asks for what is done without one.

    Args:
        path: What the file will be called, for the commands in its head.
    """
    config = resolve({})
    values = config.model_dump(mode="json")
    options = {
        (*where, "options"): config.registry.get(kind, name).Config
        for where, kind, name in components(config)
    }
    lines = [HEAD.format(path=path)]
    for name, field in RunConfig.model_fields.items():
        if name == "plugin_dir":  # set by the place of the file
            continue
        inner = members(field.annotation)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            lines += ["", f"## {_first_line(inner)}", f"{name}:"]
            lines += _fields(inner, values[name], (name,), options)
        elif name == "compose":
            lines += ["", COMPOSE, *_systems(values[name], options)]
        else:
            lines += ["", *_one(name, field, values[name], "" if name in DECIDED else "# ")]
    return "\n".join(lines) + "\n"


def _systems(
    entries: Mapping[str, Any], options: Mapping[tuple[str, ...], type[BaseModel]]
) -> Iterator[str]:
    for label, entry in entries.items():
        if entry["options"]:
            yield f"  {label}:"
            for name in ("experts", "extend"):
                field = ComposeConfig.model_fields[name]
                yield from (f"    {line}" for line in _one(name, field, entry[name], "# "))
            yield "    options:"
            model = options["compose", label, "options"]
            yield from _fields(model, entry["options"], ("compose", label, "options"), options)


def _fields(
    model: type[BaseModel],
    values: Mapping[str, Any],
    above: tuple[str, ...],
    options: Mapping[tuple[str, ...], type[BaseModel]],
) -> Iterator[str]:
    """Yield the lines of a section: every field explained and commented out."""
    indent = "  " * len(above)
    for name, field in model.model_fields.items():
        path = (*above, name)
        if path in options:
            yield f"{indent}## {field.description}"
            yield f"{indent}{name}:"
            yield from _fields(options[path], values[name], path, options)
        else:
            yield from (indent + line for line in _one(name, field, values[name], "# "))


def _one(name: str, field: FieldInfo, value: Any, off: str) -> Iterator[str]:
    yield f"## {field.description} {_allowed(field)}".rstrip()
    yield f"{off}{name}: {value_text(value)}"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _allowed(field: FieldInfo) -> str:
    """Return the allowed values in words."""
    words = []
    kinds = members(field.annotation)
    if all(get_origin(kind) is Literal for kind in kinds):
        words = [f"One of: {', '.join(str(value) for kind in kinds for value in get_args(kind))}."]
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    if bounds:
        words.append(f"{', '.join(bounds).capitalize()}.")
    return " ".join(words)
