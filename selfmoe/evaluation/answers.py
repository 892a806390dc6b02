"""Finding the answer in a completion.

One rule a kind of answer; each returns a canonical text to compare, or ``None`` if there is none.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"""
    (?P<minus>(?<![\w)\].,])[-−])?      # a minus after a digit or word is a difference or a hyphen
    (?:[$€£]\s?)?
    (?P<inner>(?<=[$€£])[-−])?          # $-5
    (?P<body>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|\.\d+)
    """,
    re.VERBOSE,
)
_MARK = re.compile(r"####|\bthe (?:final )?answer is\b:?", re.IGNORECASE)

_SAID = re.compile(r"\banswer(?: is)?:?\s*\(?\*{0,2}([A-Z])\b", re.IGNORECASE)
_LEADING = re.compile(r"[\s(*\[]*([A-Z])(?:[\s)*\].:,]*$|[)\].:]+\s)", re.MULTILINE)
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")


def marked_number(text: str) -> str | None:
    """Return the number after the first ``####`` or "The answer is", on the same line.

    This is the form that GSM8K's own solutions and its chain-of-thought prompts prescribe.
    """
    mark = _MARK.search(text)
    if mark is None:
        return None
    found = _NUMBER.search(text[mark.end() :].partition("\n")[0])
    return _canonical(found) if found else None


def last_number(text: str) -> str | None:
    """Return the last number in the text, whatever stands around it."""
    found = list(_NUMBER.finditer(text))
    return _canonical(found[-1]) if found else None


def final_number(text: str) -> str | None:
    """Return the marked number or, without a mark, the last one."""
    return marked_number(text) or last_number(text)


def letter(text: str, letters: str = "ABCD") -> str | None:
    """Return the option a completion chooses: ``B``, ``(B)``, ``B. text``, ``The answer is B``.

    A stated answer counts before a leading letter, a leading letter before one in brackets.
    An article ("A dog") is no choice.
    """
    for rule in (_SAID, _LEADING, _IN_BRACKETS):
        found = rule.match(text) if rule is _LEADING else rule.search(text)
        if found and found[1].upper() in letters:
            return found[1].upper()
    return None


def _canonical(found: re.Match[str]) -> str:
    """Return a number without currency, thousands separators, needless zeros or a plus sign."""
    whole, _, part = found["body"].replace(",", "").partition(".")
    part = part.rstrip("0")
    digits = (whole.lstrip("0") or "0") + (f".{part}" if part else "")
    negative = (found["minus"] or found["inner"]) and digits != "0"
    return f"-{digits}" if negative else digits
