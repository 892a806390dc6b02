"""The options that a multiple-choice task lists."""

from __future__ import annotations

import re

_LETTERS = re.compile(r"^([A-Z])[.):]\s", re.MULTILINE)
_LISTED = re.compile(r"Options: (.+?)\.?\s*\Z", re.DOTALL)


def options_of(text: str) -> frozenset[str]:
    """Return what may be answered, in lower case; empty if the task lists no options.

    Letters where every option has one on its line, as in MMLU; else what follows "Options:".
    """
    letters = _LETTERS.findall(text)
    if len(letters) > 1:
        return frozenset(letter.lower() for letter in letters)
    found = _LISTED.search(text)
    return (
        frozenset(one.strip().casefold() for one in found[1].split(",")) if found else frozenset()
    )
