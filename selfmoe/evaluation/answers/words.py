"""Rules for answers in words: options, yes or no, dates, sets, short phrases."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from datetime import date as Date

import regex

from selfmoe.contracts.words import fold
from selfmoe.evaluation.answers.numbers import stated

_SAID = re.compile(
    r"""
    \b(?i:answer)\b(?:(?:\s+(?i:is)\b:?|:)\s*[(*\[]*(?=[A-HJ-Z]\b(?!['’-]))  # a capital, but "I"
    |(?:\s+(?i:is)\b)?:?\s*[(*\[]*(?=[A-Za-z](?:[)*\].:,]|\s*$)))            # or set apart
    ([A-Za-z])
    """,
    re.VERBOSE | re.MULTILINE,
)
_LEADING = re.compile(r"[\s(*\[]*([A-Z])(?:[\s)*\].:,]*$|[)\].:]+\s)", re.MULTILINE)
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")

_BOOLEANS = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_BOOLEAN = re.compile(
    rf"(?P<denied>(?:\bnot|n['’]t)\s+)?\b(?P<word>{'|'.join(_BOOLEANS)})\b", re.IGNORECASE
)

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_NAMED = rf"(?P<month>(?:{'|'.join(name[:3] for name in _MONTHS)})[a-z]*)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = (
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<number>\d{1,2})-(?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<number>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})(?!\d)"),
    re.compile(rf"\b{_NAMED}\s+{_DAY},?\s+(?P<year>\d{{4}})\b", re.IGNORECASE),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_NAMED},?\s+(?P<year>\d{{4}})\b", re.IGNORECASE),
)

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = regex.compile(rf"[\p{{P}}{re.escape(string.punctuation)}]")
_INNER = r"[^{}\[\]()]"
_BRACED = re.compile(rf"\\?[{{\[(]((?:{_INNER}|[{{\[(]{_INNER}*[}}\])])*?)\\?[}}\])]")
_MEMBER = re.compile(rf"\\?([{{\[(])({_INNER}*?)\\?([}}\])])")
_SEPARATOR = re.compile(rf"(?:[,;，；、،؛]\s*(?:and\s+)?|\s+and\s+)(?!{_INNER}*[}}\])])")


def letter(text: str, letters: str = "ABCD") -> str | None:
    """Return the option a completion chooses: ``B``, ``(B)``, ``B. text``, ``The answer is B``.

    A stated answer counts before a leading letter, a leading letter before one in brackets.
    An article ("A dog", "The answer is a dog") is no choice, nor is "I".
    """
    for rule in (_SAID, _LEADING, _IN_BRACKETS):
        found = rule.match(text) if rule is _LEADING else rule.search(text)
        if found and found[1].upper() in letters:
            return found[1].upper()
    return None


def boolean(text: str) -> str | None:
    """Return ``yes`` (also for "true") or ``no`` (also for "false").

    A stated answer counts before the text's first word; a word elsewhere counts only if the text
    does not say the opposite, too. "Not true" is ``no``.
    """
    said = _BOOLEAN.search(stated(text) or "") or _BOOLEAN.match(text.strip())
    if said:
        return _truth(said)
    found = {_truth(match) for match in _BOOLEAN.finditer(text)}
    return found.pop() if len(found) == 1 else None


def date(text: str) -> str | None:
    """Return the stated or else the last date as ``YYYY-MM-DD``.

    Read are ``2021-05-03``, ``05/03/2021`` (month first), ``May 3, 2021`` and ``3rd of May 2021``.
    Days that the calendar lacks are no dates.
    """
    for part, last in ((stated(text) or "", False), (text, True)):
        found = sorted(_dates(part))
        if found:
            return found[-1 if last else 0][1]
    return None


def members(text: str) -> str | None:
    """Return the members of a set or list, each as ``short``, sorted: ``{b, a}`` is ``a; b``.

    Taken are the stated answer, the last brackets, or the last line. Commas, semicolons and "and"
    separate; order and repetition do not count. A member may be a tuple: ``(1, 2)``.
    """
    chosen = stated(text) or text
    brackets, lines = _BRACED.findall(chosen), chosen.strip().splitlines()
    parts = _SEPARATOR.split((brackets or lines or [""])[-1])
    found = sorted({name for part in parts if (name := _member(part))})
    return "; ".join(found) or None


def short(text: str) -> str | None:
    """Return the first line in lower case, without articles, punctuation and needless space.

    Full-width characters are as others, and punctuation is that of any script.

    A line that holds nothing else is taken as it is.
    """
    lines = text.strip().splitlines()
    line = " ".join(fold(lines[0]).split()) if lines else ""
    bare = " ".join(_PUNCTUATION.sub("", line).split())
    return " ".join(_ARTICLE.sub(" ", bare).split()) or bare or line or None


def _truth(found: re.Match[str]) -> str:
    word = _BOOLEANS[found["word"].lower()]
    return ("no" if word == "yes" else "yes") if found["denied"] else word


def _member(text: str) -> str | None:
    """Return a member as ``short``, or with its brackets around what they hold."""
    held = _MEMBER.fullmatch(text.strip())
    if held is None:
        return short(text)
    inside = [name for part in re.split("[,;]", held[2]) if (name := short(part))]
    return f"{held[1]}{', '.join(inside)}{held[3]}"


def _dates(text: str) -> Iterator[tuple[int, str]]:
    """Yield ``(where, date)`` of all dates."""
    for pattern in _DATES:
        for found in pattern.finditer(text):
            parts = found.groupdict()
            month = parts.get("number") or _month(parts.get("month") or "")
            try:
                day = Date(int(parts["year"]), int(month), int(parts["day"]))
            except ValueError:
                continue
            yield found.start(), day.isoformat()


def _month(name: str) -> int:
    """Return the number of a month by its name or the start of it; 0 if there is none."""
    full = [number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower())]
    return full[0] if len(full) == 1 or name.lower() == "may" else 0
