r"""Rules for answers in LaTeX: what is boxed or stated as final, in any markup.

A statement goes to the end of its line, on to the next one if it has not begun, and over several
where mathematics does. Markdown, ``$``, words that go on and boxes are form and are taken off.
What two answers mean is told in ``selfmoe.evaluation.answers.forms``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfmoe.evaluation.answers.numbers import MARK

_FINAL = re.compile(r"final\s+answer[*_`]*\s+[*_`]*is\b[*_`]*:?", re.IGNORECASE)
_LABEL = re.compile(r"\banswer[*_`]*\s*:", re.IGNORECASE)
_HOPE = re.compile(r"I hope it is correct.*", re.IGNORECASE | re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_NOTHING = re.compile(r"[\s*_`:>#.,!]*")
_SCALE = re.compile(r"[\s$\\)\]*_]*(?:hundred|thousand|million|billion|trillion|percent)\b")
_GOES_ON = re.compile(
    r"\.[*_]*\s+(?=[A-Z*$\\])|(?<!\s)[,;]?\s+\(?(?:because|since|so that|as required|which|where)\b"
    r"|[,;]\s+(?:as|so|and so|hence|thus|therefore)\b",
    re.IGNORECASE,
)
_BOLD = re.compile(
    r"(?<![\w*^])(?P<star>\*{1,3})(?=[^\s*])(?P<starred>[^*\n]*[^\s*])(?P=star)(?![\w*])"
    r"|(?<![\w_\\}])(?P<line>_{1,3})(?=[^\s_])(?P<lined>[^_\n]*[^\s_])(?P=line)(?![\w{])"
    r"|</?(?:b|i|em|strong|code|u|p|br)\s*/?>",
)
_EDGE = re.compile(r"\A(?:[*_`\s]|\\[,;:! ])+|(?<![\^\\])(?:[*_`\s]|\\[,;: ])+\Z")
_MATH = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))
_MOST = 60  # lines of one statement


def boxed(text: str) -> str | None:
    r"""Return what the last ``\boxed{…}`` holds, braces balanced; ``\boxed 5`` is ``5``."""
    found = [inside for _, _, inside in _boxes(text)]
    return found[-1] if found else None


def final_math(text: str) -> str | None:
    """Return what follows the last "Final Answer: The final answer is", up to "I hope".

    Of what is boxed there, the box is the answer; the answer may stand on the next line.
    """
    found = list(_FINAL.finditer(text))
    return _answer(text[found[-1].end() :]) if found else None


def any_math(text: str) -> str | None:
    """Return the final answer, else what is boxed last, else what is stated as the answer."""
    marks = MARK.search(text) or next(reversed(list(_LABEL.finditer(text))), None)
    return final_math(text) or boxed(text) or (marks and _answer(text[marks.end() :])) or None


def bare(text: str) -> str:
    """Return a text without Markdown and what encloses mathematics; a price keeps its dollar."""
    before, text = None, _BOLD.sub(lambda m: m["starred"] or m["lined"] or "", text)
    text = text.replace("`", "")
    while text != before:
        before = text
        text = _EDGE.sub("", text).removesuffix(".")
        for opening, closing in _MATH:
            if text.endswith(closing) and not text.endswith("\\" + closing):
                text = text[: -len(closing)]
            text = text.removeprefix(opening)
    return text


def _answer(text: str) -> str | None:
    said = _GOES_ON.split(_statement(_HOPE.sub("", text)), maxsplit=1)[0]
    return _unboxed(said) or bare(said) or None


def _statement(text: str) -> str:
    """Return the first line that says something, with those that its mathematics goes on over."""
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if not _NOTHING.fullmatch(line)), 0)
    for end in range(start + 1, min(len(lines), start + _MOST) + 1):
        part = "\n".join(lines[start:end])
        if _closed(part):
            return part
    return lines[start] if lines else ""


def _closed(text: str) -> bool:
    r"""Return whether everything that was opened is closed: braces, ``\begin``, ``\[``, ``$$``."""
    pairs = (("\\begin{", "\\end{"), ("{", "}"), ("\\[", "\\]"), ("\\(", "\\)"))
    even = all(text.count(opening) == text.count(closing) for opening, closing in pairs)
    return even and text.count("$$") % 2 == 0 and text.strip(" *_`:") not in ("$", "$$")


def _boxes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where boxes that hold something begin and end, and what they hold."""
    for mark in _BOX.finditer(text):
        rest = text[mark.end() :]
        inside = _braced(rest) if rest.startswith("{") else re.split(r"[\s$]", rest, maxsplit=1)[0]
        if inside and inside.strip():
            end = mark.end() + len(inside) + 2 * rest.startswith("{")
            yield mark.start(), end, inside.strip()


def _unboxed(text: str) -> str | None:
    """Return what a statement boxes, with what stands around it where that is a part only."""
    found = list(_boxes(text))
    if not found:
        return None
    if len(found) > 1:
        return ", ".join(dict.fromkeys(bare(inside) for _, _, inside in found))
    start, end, inside = found[0]
    before = re.split(r"\$|\\[(\[]|[=≈:]|\\approx", text[:start])[-1].strip(" *_{`")
    scale = _SCALE.match(text, end)
    behind = scale[0] if scale else _GOES_ON.split(re.split(r"\$|\\[)\]]", text[end:])[0])[0]
    if before in ("", r"\$") or re.search(r"[a-z]{2}[\s,]*\Z", before):
        return bare(f"{inside}{'' if _NOTHING.fullmatch(behind) else behind}")
    return bare(f"{before}{{{inside}}}{behind}" if before != "-" else f"-{inside}{behind}")


def _braced(text: str) -> str | None:
    """Return what stands between the first brace and the one that closes it."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[1:place]
    return None
