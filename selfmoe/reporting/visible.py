"""Showing text that a model wrote, or a stranger, as what it is and nothing more."""

from __future__ import annotations

import unicodedata
from typing import Any

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories of what has no shape of its own, or changes how other text is shown."""


def visible(value: Any) -> Any:
    """Return a text with every invisible or direction-changing character made visible.

    Line ends and tabs stay. Values that are no text, and text that is markup already, come back as
    they are.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if value.isascii() and value.isprintable():
        return value
    return "".join(map(_shown, value))


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def short(name: str, most: int = 40) -> str:
    """Return a name with its middle left out if it has more than ``most`` characters.

    Names often differ at their ends only.
    """
    shown = str(visible(name))
    if len(shown) <= most:
        return shown
    return f"{shown[: most - most // 2 - 1]}…{shown[len(shown) - most // 2 :]}"
