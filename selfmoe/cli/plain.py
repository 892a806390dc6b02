"""Output where there is no Unicode: other characters instead of an error."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

LIKE = {
    "±": "~", "–": "-", "—": "-", "…": ".", "→": ">", "×": "x", "≥": ">", "≤": "<", "·": ".",
    "✓": "+", "␣": "_", "⏎": "/", "⇥": ">",
    "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ",
}  # fmt: skip
"""Character -> one of ASCII as wide, so that tables keep their shape; others are escaped."""

_NAME = "selfmoe.plain"


def speak_plainly(*streams: TextIO | None) -> None:
    """Let streams replace what their encoding does not have."""
    codecs.register_error(_NAME, _replace)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    known = [LIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text]
    return "".join(known), error.end
