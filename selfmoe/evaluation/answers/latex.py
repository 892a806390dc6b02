r"""Rules for answers in LaTeX: what is boxed or stated as final, and when two are the same.

``plain_math`` writes an answer in one form, so that equal answers are mostly equal texts. It knows
no algebra: that ``x+1`` is ``1+x`` needs math-verify (see ``selfmoe.evaluation.mathverify``).
"""

from __future__ import annotations

import re

from selfmoe.evaluation.answers.numbers import rational, stated

_FINAL = re.compile(r"final answer is:?(.*)", re.IGNORECASE)
_HOPE = re.compile(r"\.?\s*I hope it is correct\.?.*", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_ASSIGNED = re.compile(r"^[a-zA-Z](?:\([a-z]\))?=(?=[^=]+$)")

_DROPPED = re.compile(
    r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\[,;:! ]|\\q?quad|~"
    r"|\^\{?\\circ\}?|\\degree|\\?%|\\\$|\$|\\\(|\\\)|\\\[|\\\]"
)
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_UNIT = re.compile(r"(?<=[\d}])\s*\\(?:text|mathrm|mbox)\s*\{[^{}]*\}(?:\^\{?\d\}?)?$")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SLASH = re.compile(r"(-?)(\d+)/(\d+)")
_RATIO = re.compile(r"((?<![\w)}\]])-)?(?<![\d^_])\\frac\{(-?[\d.]+)\}\{([\d.]+)\}(?!\d)")
_MIXED = re.compile(
    r"(?<![\w.^\\}])(\d+)"
    r"(?:\s*\\[dtc]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
    r"|\s+(\d+)\s*/\s*(\d+)(?![\d/]))"
)
_OPEN, _CLOSED = "([{", ")]}"


def boxed(text: str) -> str | None:
    r"""Return what the last ``\boxed{…}`` holds, braces balanced; ``\boxed 5`` is ``5``."""
    for mark in reversed(list(_BOX.finditer(text))):
        rest = text[mark.end() :]
        inside = _braced(rest) if rest.startswith("{") else re.split(r"[\s$]", rest, maxsplit=1)[0]
        if inside and inside.strip():
            return inside.strip()
    return None


def final_math(text: str) -> str | None:
    """Return what follows the last "Final Answer: The final answer is", up to "I hope"."""
    found = _FINAL.findall(text)
    answer = _HOPE.sub("", found[-1]).strip().removesuffix(".").strip() if found else ""
    return _bare(answer) or None


def any_math(text: str) -> str | None:
    """Return the final answer, else what is boxed last, else what is stated as the answer."""
    said = _bare((stated(text) or "").strip().removesuffix("."))
    return final_math(text) or boxed(text) or said or None


def plain_math(latex: str) -> str:
    """Return an answer in LaTeX in one form.

    Spacing, ``$``, degree and percent signs, units in ``\\text`` after a number, ``x =`` in front
    and a full stop behind are dropped; shorthand is completed; numbers, mixed ones too, and ratios
    of numbers are reduced ratios; members of a set in braces are sorted.
    """
    text = latex.strip().removesuffix(".").strip()
    text = text.replace(r"{,}", ",").replace(r"\!", "").replace(r"\ldots", "...")
    text = _UNIT.sub("", _bare(text))
    text = _TEXT.sub(r"\1", _DROPPED.sub(" ", text))
    text = re.sub(r"\s+", "", _MIXED.sub(_sum, text)).replace("−", "-")
    text = _ASSIGNED.sub("", re.sub(r"\\[dtc]frac", r"\\frac", text))
    return _ratios(_sorted_set(_completed(text)))


def same_math(one: str, other: str) -> bool:
    """Return whether two answers in LaTeX have the same plain form, which is not empty."""
    form = plain_math(one)
    return bool(form) and form == plain_math(other)


def _bare(text: str) -> str:
    """Return a text without the dollar signs that enclose mathematics; a price keeps its own."""
    return re.sub(r"^\$+|(?<!\\)\$+$", "", text.strip()).strip()


def _braced(text: str) -> str | None:
    """Return what stands between the first brace and the one that closes it."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[1:place]
    return None


def _completed(text: str) -> str:
    r"""Return LaTeX with braces put in: ``\frac12``, ``\frac1{72}``, ``\sqrt2``, ``x^{2}``."""
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\d)(?=\{)", r"\\frac{\1}", text)
    text = re.sub(r"(\\frac\{[^{}]*\})(\d)", r"\1{\2}", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)


def _sorted_set(text: str) -> str:
    if not (text.startswith(r"\{") and text.endswith(r"\}")):
        return text
    return r"\{" + ",".join(sorted(map(_ratios, _members(text[2:-2])))) + r"\}"


def _members(text: str) -> list[str]:
    """Return what commas outside brackets separate."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in _OPEN) - (sign in _CLOSED)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _sum(found: re.Match[str]) -> str:
    """Return a mixed number such as ``2 1/2`` as one ratio."""
    whole, top, bottom = (rational(part) for part in filter(None, found.groups()))
    if whole is None or top is None or not bottom:
        return found[0]
    value = whole + top / bottom
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _ratios(text: str) -> str:
    """Return a number or a ratio of two, and any such ratio inside a text, reduced."""
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    value = rational(text)
    if value is not None:
        return str(value)
    whole = _SLASH.fullmatch(text)
    return _reduced(whole) if whole else _RATIO.sub(_reduced, text)


def _reduced(found: re.Match[str]) -> str:
    top, bottom = rational(found[2]), rational(found[3])
    if top is None or not bottom:
        return found[0]
    value = top / bottom
    return str(-value if found[1] else value)
