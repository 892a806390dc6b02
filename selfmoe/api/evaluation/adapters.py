"""Adapters to be scored, as the command line names them: ``name=folder``, or a folder alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from selfmoe.config.resolve import NAMING
from selfmoe.contracts.errors import ConfigError
from selfmoe.contracts.paths import expand, written
from selfmoe.registry.registry import NAME

Adapters = Mapping[str, str | Path] | Iterable[str | Path]
"""Folders by name, or folders, each alone or as ``name=folder``."""


def named(adapters: Adapters, option: str = "--adapter ") -> dict[str, str]:
    """Return the folders of adapters by name, as settings write them.

    Args:
        adapters: The adapters.
        option: What stands before each on the command line, for errors.

    Raises:
        ConfigError: If a name is used twice or not possible, or there is no such folder.
    """
    if isinstance(adapters, str | Path):
        adapters = [adapters]
    pairs = adapters.items() if isinstance(adapters, Mapping) else _pairs(adapters, option)
    found: dict[str, str] = {}
    for name, given in pairs:
        folder = expand(given)
        if not NAME.fullmatch(name):
            raise ConfigError(f"{option}{name}={given}: '{name}' is no name; {NAMING}")
        if name in found:
            raise ConfigError(
                f"{option}two adapters are named '{name}': {found[name]} and {folder}\n"
                f"  Give one of them a name of its own: {option}NAME=FOLDER"
            )
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ConfigError(f"{option}{folder} {what}; give the folder of a PEFT LoRA")
        found[name] = written(folder)
    return found


def _pairs(adapters: Iterable[str | Path], option: str) -> Iterator[tuple[str, str | Path]]:
    return (_pair(text, option) for text in adapters)


def _pair(text: str | Path, option: str) -> tuple[str, str | Path]:
    """Return name and folder; of a folder with ``=`` in its path, the name is that of the folder.

    Raises:
        ConfigError: If no name can be made of the folder's.
    """
    if not isinstance(text, Path):
        name, equals, folder = text.partition("=")
        if equals and NAME.fullmatch(name) and not expand(text).is_dir():
            return name, folder
    name = _name_of(expand(text))
    if not name:
        raise ConfigError(f"{option}{text}: give it a name: {option}NAME={text}")
    return name, text


def _name_of(folder: Path) -> str:
    """Return a folder's name in characters that names have, of a cell what it is about."""
    last = Path(os.path.normpath(folder.absolute())).name.partition("@")[0]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-_")[:64]
