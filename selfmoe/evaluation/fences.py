"""Where code stands in what a model wrote: fenced blocks of any kind, code set off by indent.

Fences are ``` and ~~~, of any length, with or without a language, indented, in lists and quotes,
on one line, left open, or opened anew where one should be closed. The tags of chat formats, HTML
and LaTeX that hold code count as fences. Nothing is run here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from itertools import islice

_FENCE = re.compile(
    r"(?P<before>[ \t]*(?:(?:[-*+]|\d+[.)]|>)[ \t]*)*)(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)"
)
_ONE_LINE = re.compile(r"[ \t]*(`{3,})(?:(?:python|py)[ \t])?(?P<code>[^`\n]+)\1[ \t]*", re.I)
_TAG = re.compile(
    r"^[ \t]*(?:\[/?(?:PYTHON|CODE|BEGIN)\]|</?(?:pre|code|python)(?:[ \t][^>\n]*)?>"
    r"|\\(?:begin|end)\{(?:lstlisting|verbatim|minted)\}\S*)+[ \t]*$",
    re.MULTILINE,
)
_QUOTED = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
_SET_OFF = re.compile(r"(?:\A|\n[ \t]*\n)((?:(?: {4}|\t)[^\n]*(?:\n|\Z)|[ \t]*\n)+)")
_MOST = 8  # closing fences that one block is tried with


def unfenced(text: str) -> str:
    """Return what stands before the first fence: everything where there is none."""
    lines = _lines(text)
    first = next((n for n, line in enumerate(lines) if _opens(line)), len(lines))
    return "".join(lines[:first])


def blocks(text: str, is_code: Callable[[str], bool]) -> Iterator[str]:
    """Yield what the fences of a text hold, in order.

    A block ends with the first closing fence before which it is code, since code may hold fences;
    with its first one where that makes no code of it; and with the text where there is none.
    """
    lines, place = _lines(text), 0
    while place < len(lines):
        if one := _ONE_LINE.fullmatch(lines[place].rstrip("\n")):
            yield one["code"].strip() + "\n"
        elif found := _opens(lines[place]):
            end = _end(lines, place, found, is_code)
            yield _inside(lines[place + 1 : end], found)
            again = end < len(lines) and (closing := _opens(lines[end])) and closing["info"].strip()
            place = end - 1 if again else end
        place += 1


def set_off(text: str) -> Iterator[str]:
    """Yield what is set off from prose by blank lines and an indent of four, moved to the left."""
    for found in _SET_OFF.finditer(text):
        if found[1].strip():
            yield textwrap.dedent(found[1]).strip("\n") + "\n"


def _lines(text: str) -> list[str]:
    return _TAG.sub("```", text).splitlines(keepends=True)


def _opens(line: str) -> re.Match[str] | None:
    bare = line.rstrip("\r\n")
    return _FENCE.fullmatch(bare) or _ONE_LINE.fullmatch(bare)


def _end(lines: list[str], start: int, fence: re.Match[str], is_code: Callable[[str], bool]) -> int:
    """Return the line that closes a block: the number of lines if none does."""
    closing = (n for n in range(start + 1, len(lines)) if _closes(lines[n], fence["mark"]))
    ends = list(islice(closing, _MOST)) or [len(lines)]
    return next((n for n in ends if is_code(_inside(lines[start + 1 : n], fence))), ends[0])


def _closes(line: str, mark: str) -> bool:
    found = _FENCE.fullmatch(line.rstrip("\r\n"))
    return bool(found and found["mark"].startswith(mark))


def _inside(lines: list[str], fence: re.Match[str]) -> str:
    """Return lines without what the list or quote around their fence puts before them."""
    text, before = "".join(lines), fence["before"]
    if ">" in before:
        text, before = _QUOTED.sub("", text), _QUOTED.sub("", before)
    width = len(before.expandtabs(4))
    return re.sub(rf"^[ ]{{1,{width}}}", "", text, flags=re.MULTILINE) if width else text
