"""The examples as the pages quote them: whole files, or what lies between two marks.

A part lies between ``# -- start NAME --`` and ``# -- end NAME --``; the marks are not shown.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from _generate.markdown import block

EXAMPLES = Path(__file__).parents[1] / "examples"
"""Code that the pages show. It is tested as what it is: a distribution, a run, a plugin."""

_MARK = re.compile(r"^[ \t]*# -- (?:start|end) .*? --\n(?:\n\n)?", re.MULTILINE)
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


def quoted(file: str, part: str | None = None) -> str:
    """Return a file of the examples, or a part of it, as a code block.

    Raises:
        LookupError: If there is no such part.
    """
    path = EXAMPLES / file
    text = path.read_text("utf-8")
    if part is not None:
        text = between(text, part, file)
    return block(_LANGUAGES[path.suffix], textwrap.dedent(without_marks(text)).strip("\n"))


def between(text: str, part: str, where: str) -> str:
    """Return what lies between the marks of a part.

    Raises:
        LookupError: If the text lacks them.
    """
    start, end = f"# -- start {part} --\n", f"# -- end {part} --"
    _, found, rest = text.partition(start)
    inside, closed, _ = rest.partition(end)
    if not (found and closed):
        raise LookupError(f"{where} has no part '{part}': {start.strip()} … {end}")
    return inside


def without_marks(text: str) -> str:
    """Return a text without the lines that mark its parts."""
    return _MARK.sub("", text)
