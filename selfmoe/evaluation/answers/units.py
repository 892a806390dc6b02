r"""What stands behind a number and does not make it another one: units and other words.

A word that says how many there are (``million``), or what is done with the number (``squared``,
``or``), is none of these and stays.
"""

from __future__ import annotations

import re

from selfmoe.evaluation.answers.notation import THIN

SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
"""Words behind a number, and how many zeros each puts there."""

_TEXT = r"\\(?:text|textrm|textup|textit|textbf|mathrm|mbox|rm|operatorname)\s*\{[^{}]*\}"
_SPACE = rf"(?:\s|\\[,;:! ]|~|{THIN}|\\q?quad)"
_POWER = r"(?:\^\s*\{?-?\d\}?)?"
_MARKED = re.compile(
    rf"(?:(?<=[\d}})!%])|(?<=\\pi)){_SPACE}*(?P<unit>{_TEXT}{_POWER}"
    rf"(?:(?:{_SPACE}|/|\\cdot)*{_TEXT}{_POWER})*){_SPACE}*\Z"
)
_BARE = re.compile(
    rf"(?:(?<=[\d}})%])|(?<=\\pi)|(?<=\$)){_SPACE}+"
    rf"(?P<unit>[A-Za-z][A-Za-z.\-]+{_POWER}(?:(?:{_SPACE}+|/)[A-Za-z][A-Za-z.\-]*{_POWER})*)\Z"
)
_LETTER = re.compile(rf"(?<=\$){_SPACE}+(?P<unit>[A-Za-z]{_POWER}(?:/[A-Za-z]+{_POWER})?)\Z")
_SCALED = re.compile(
    rf"(?<![\w.^\\}}])(?P<number>\d+(?:\.\d+)?)(?:{_SPACE}|\$)*(?P<text>\\text\s*\{{\s*)?"
    rf"(?P<scale>{'|'.join(SCALES)})\b\s*(?(text)(?P<more>[^{{}}]*)\}})"
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
_MEANING = (
    "and or to by plus minus times over not no none more less fewer than least most between from"
    " mod modulo base squared cubed factorial pi sqrt root half halves thirds third fourths fourth"
    " quarters quarter fifths fifth sixths sixth sevenths seventh eighths eighth ninths ninth"
    " tenths tenth hundredths thousandths infinity undefined if when unless choose log sin cos tan"
    " past a p am pm hundred thousand million billion trillion"
)


def without_unit(text: str) -> str:
    """Return an answer without the unit or other words behind its number."""
    for pattern in (_MARKED, _BARE, _LETTER):
        found = pattern.search(text)
        if found and not _words(_MEANING) & _words(found["unit"]):
            return text[: found.start()]
    return text


def scaled(text: str) -> str:
    """Return a text with ``3 million`` written out."""
    return _SCALED.sub(_written_out, text)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _written_out(found: re.Match[str]) -> str:
    whole, _, part = found["number"].partition(".")
    zeros = SCALES[found["scale"]]
    digits = whole + part[:zeros].ljust(zeros, "0") + (f".{part[zeros:]}" if part[zeros:] else "")
    return digits + (rf"\text{{{found['more']}}}" if (found["more"] or "").strip() else "")
