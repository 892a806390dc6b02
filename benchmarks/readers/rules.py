"""How a reader says which sentences it knows and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Answer = Callable[[re.Match[str]], str | None]

_SLOT = re.compile(r"\{(\w+)([#*]?)\}")
_KINDS = {"#": r"\d{1,6}", "*": r".+?", "": r"[A-Za-z][\w'-]*"}


@dataclass(frozen=True)
class Truth:
    """What is right for one task.

    Attributes:
        family: The family whose sentence the task is, perhaps with other words and numbers.
        answer: The right answer, computed from the task's text; for code, an expression in `x`.
        spoilt: What is asked is clear, but the task excludes it: its own example contradicts it, or
            it is not among the options.
    """

    family: str
    answer: str
    spoilt: bool = False


def form(template: str) -> re.Pattern[str]:
    """Return the pattern of a sentence with slots.

    `{name}` stands for a word, `{name#}` for a number without sign, `{name*}` for any text. A slot
    that comes again must hold the same text again.
    """
    parts, seen = [], set()
    literal = 0
    for slot in _SLOT.finditer(template):
        name = slot[1]
        parts.append(re.escape(template[literal : slot.start()]))
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{_KINDS[slot[2]]})")
        seen.add(name)
        literal = slot.end()
    return re.compile("".join(parts) + re.escape(template[literal:]))


class Rules:
    """Sentences in order, each with the function that answers it."""

    def __init__(self) -> None:
        self._rules: list[tuple[str, re.Pattern[str], Answer]] = []

    def add(self, family: str, *templates: str) -> Callable[[Answer], Answer]:
        """Return a decorator: the function answers the sentences of these templates.

        It gets the match and returns the answer, or None if the task makes no sense.
        """

        def register(answer: Answer) -> Answer:
            self._rules += [(family, form(template), answer) for template in templates]
            return answer

        return register

    def read(self, text: str) -> Truth | None:
        """Return what the first sentence that fits says; None if none fits or it makes no sense."""
        spaced = " ".join(text.split())
        for family, pattern, answer in self._rules:
            if found := pattern.fullmatch(spaced):
                right = answer(found)
                return None if right is None else Truth(family, right)
        return None


def numbers(found: re.Match[str], names: str) -> list[int]:
    """Return the numbers in the named slots, the names given with spaces between them."""
    return [int(found[name]) for name in names.split()]


def only(values: Iterable[str]) -> str | None:
    """Return the one value there is; None if there is none, or there are different ones."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
