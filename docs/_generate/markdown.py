"""Markdown from plain data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_ADDRESS = re.compile(r"(https?://[^\s,;)]*[^\s,;).])")
_MARKUP = re.compile(r"[\\<*_\[$]")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown, in which line ends become spaces."""
    lines = [_row(head), "|" + "---|" * len(head)]
    return "\n".join([*lines, *(_row(row) for row in rows)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def block(language: str, text: str) -> str:
    """Return a code block, fenced so that fences within ``text`` do not end it."""
    fence = "```"
    while fence in text:
        fence += "`"
    lines = text.replace("\r\n", "\n").rstrip()
    return f"{fence}{language}\n{lines}\n{fence}\n"


def as_on_pages(texts: Iterable[str]) -> list[str]:
    """Return cells of a terminal's table with the sign of numbers below 0 as pages write it."""
    return [re.sub(r"-(?=\d)", "−", text) for text in texts]


def code(value: object) -> str:
    """Return a value as code within a line."""
    text = str(value)
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def plain(text: str) -> str:
    """Return prose of a help text or docstring as Markdown: nothing in it is markup.

    Double backquotes, as in docstrings, become single ones, and addresses become links.
    """
    parts = text.replace("``", "`").split("`")
    quoted = len(parts) % 2 == 1
    return "`".join(
        part if quoted and index % 2 else _escape(part) for index, part in enumerate(parts)
    )


def _escape(text: str) -> str:
    parts = _ADDRESS.split(text)
    return "".join(
        f"<{part}>" if index % 2 else _MARKUP.sub(r"\\\g<0>", part)
        for index, part in enumerate(parts)
    )


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a cleaned docstring or help text, each on its own lines."""
    return [part.strip("\n") for part in text.split("\n\n") if part.strip()]


def said(text: str | None, of: str) -> str:
    """Return the first paragraph of a docstring or help text as Markdown.

    Raises:
        LookupError: If there is none: what users can ask for must say what it is.
    """
    parts = paragraphs(inspect.cleandoc(text or ""))
    if not parts:
        raise LookupError(f"{of} is not documented: it has no docstring, help or description")
    return plain(parts[0])
