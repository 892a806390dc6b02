"""What can be wrong with a plugin, in words for its author."""

from __future__ import annotations

from typing import NamedTuple

from selfmoe.registry.moved import new_home


class Problem(NamedTuple):
    """What is wrong with a plugin, and what its author can do about it."""

    text: str
    advice: str = ""


def describe(error: BaseException) -> str:
    """Return an exception raised by a plugin on one line."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r}) while loading"
    return " ".join(f"{type(error).__name__}: {error}".split())


def explain(error: BaseException) -> str:
    """Return an exception raised by a plugin on one line, with where to import from instead."""
    home = new_home(error)
    return f"{describe(error)}; import it from {home}" if home else describe(error)
