"""Readers: the inverse of the mini tracks' families.

A family makes a problem and its answer; a reader gets a text that a model wrote in the manner of
the families and works out the answer anew, or says that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from readers import coding, knowledge, math, reasoning
from readers.rules import Truth

READERS: Mapping[str, Callable[[str], Truth | None]] = {
    "coding": coding.read,
    "knowledge": knowledge.read,
    "math": math.read,
    "reasoning": reasoning.read,
}
