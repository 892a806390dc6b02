"""What is to be compared, as the command line says it: ``name``, ``name:option=value``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfmoe.config.filling import fill_options
from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.config.resolve import problems_error
from selfmoe.config.yaml_text import read_value, value_text
from selfmoe.contracts.errors import ConfigError, UnknownNameError
from selfmoe.store.cell import key_of

ComposerKind = Literal["router", "merge"]

_LONGEST = 64
"""Characters of a label."""


@dataclass(frozen=True)
class Spec:
    """One composer with the options that were decided.

    Attributes:
        kind: ``router`` or ``merge``.
        name: The composer's name.
        options: What was given of its options.
    """

    kind: ComposerKind
    name: str
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Return what the system is called: name and options in characters that paths may have."""
        parts = [self.name, *(f"{key}{_word(value)}" for key, value in self.options.items())]
        return re.sub(r"[^a-z0-9_-]+", "_", "-".join(parts).lower())


def _word(value: Any) -> str:
    text = value_text(value)
    return text if text[:1].isdigit() else f"-{text}"


def everything(config: RunConfig) -> list[Spec]:
    """Return every composer that is installed, as it is by default."""
    kinds: tuple[ComposerKind, ...] = ("router", "merge")
    return [Spec(kind, name, {}) for kind in kinds for name in config.registry.names(kind)]


def read_specs(
    config: RunConfig, routers: Iterable[str] | None, merges: Iterable[str] | None
) -> dict[str, ComposeConfig]:
    """Return label -> composer with all its options, of what is named.

    A composer that is one of the run's compositions has that one's label; what is named twice is
    returned once.

    Args:
        config: The run's complete settings.
        routers: Specs, each may hold several with commas between.
        merges: The same of merges; with neither, all composers that are installed.

    Raises:
        ConfigError: Listing all that is wrong.
    """
    found: list[str] = []
    if routers is None and merges is None:
        specs = everything(config)
    else:
        specs = list(_specs("router", routers or (), found)) + list(
            _specs("merge", merges or (), found)
        )
        if not specs and not found:
            found.append("nothing is named; give --routers, --merges, or neither for all.")
    entries = [(spec, entry) for spec in specs if (entry := _entry(config, spec, found))]
    if found:
        raise problems_error("what to compare", found)
    return _labelled(entries, config.compose or {})


def _specs(kind: ComposerKind, texts: Iterable[str], found: list[str]) -> Iterator[Spec]:
    for text in texts:
        for part in _split(text, ","):
            name, *options = _split(part, ":")
            given: dict[str, Any] = {}
            for option in options:
                key, equals, value = option.partition("=")
                if not equals or not key.strip() or key.strip() in given:
                    twice = bool(equals and key.strip())
                    found.append(f"{kind}s: {_wrong(part.strip(), option, twice)}")
                    continue
                try:
                    given[key.strip()] = read_value(value, f"{key.strip()} of {part}")
                except ConfigError as error:
                    found.append(f"{kind}s: {error}.")
            yield Spec(kind, name.strip(), given)


def _wrong(spec: str, option: str, twice: bool) -> str:
    if twice:
        return f"{spec}: '{option.partition('=')[0].strip()}' is given twice."
    return f"{spec}: expected name:option=value, got '{option}' for an option."


def _split(text: str, mark: str) -> list[str]:
    """Return the parts of a text between marks that stand outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def _entry(config: RunConfig, spec: Spec, found: list[str]) -> ComposeConfig | None:
    """Return a composer with all its options; ``None`` after adding to ``found`` what is wrong."""
    try:
        config.registry.entry(spec.kind, spec.name)
    except UnknownNameError as error:
        found.append(f"{spec.kind}s: " + " ".join(str(error).split()))
        return None
    before = len(found)
    where = f"{spec.kind}s.{spec.name}"
    options = fill_options(config, spec.kind, spec.name, spec.options, where, found)
    if len(found) > before:
        return None
    return ComposeConfig.model_validate({spec.kind: spec.name, "options": options})


def _labelled(
    entries: Sequence[tuple[Spec, ComposeConfig]], own: Mapping[str, ComposeConfig]
) -> dict[str, ComposeConfig]:
    """Return the entries by label; a label belongs to one set of options only."""
    made: dict[str, ComposeConfig] = {}
    for spec, entry in entries:
        label = next((name for name, other in {**own, **made}.items() if other == entry), None)
        if label is None:
            label = spec.label
            if len(label) > _LONGEST or label in own or label in made:
                label = f"{label[: _LONGEST - 11]}-{key_of(entry.model_dump(mode='json'))}"
        made[label] = entry
    return made
