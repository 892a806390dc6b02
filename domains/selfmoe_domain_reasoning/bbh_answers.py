"""Telling right answers to BBH whatever their form.

What is looked for follows from the right answer: an option, a truth word, a number, brackets, or a
list of words. It is searched in the stated answer ("the answer is"); where there is none, in the
last line, and numbers and options in the whole completion.
"""

from __future__ import annotations

import re

from selfmoe.kits.domains import final_number, letter, rational, stated

_AGAIN = re.compile(r"(?:[.!?]\s+[^.!?]*)?\banswer is\b.*", re.IGNORECASE)
_OPTION = re.compile(r"\(([A-Z])\)")
_OPTIONS = re.compile(r"^\(([A-Z])\) (.+)$", re.MULTILINE)
_LETTER = re.compile(r"\(?([a-z])\)?")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_TRUTHS = (("yes", "no"), ("true", "false"), ("valid", "invalid"))
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BRACKETS = "()[]{}<>"


def same(question: str, target: str, completion: str) -> bool:
    """Return whether a completion gives the right answer in any form.

    Args:
        question: The item, whose options may be named by their text.
        target: The right answer as upstream writes it.
        completion: What the model wrote.
    """
    said = answer_line(completion)
    if option := _OPTION.fullmatch(target):
        return _choice(question, said, completion) == option[1]
    if _NUMBER.fullmatch(target):
        return final_number(completion) == final_number(target)
    for words in _TRUTHS:
        if target.casefold() in words:
            return _truth(words, completion) == target.casefold()
    if not target.strip(_BRACKETS + " "):
        return _brackets(said) == _brackets(target)
    return _words(said) == _words(target)


def one_form(completion: str) -> str | None:
    """Return the stated answer, else the last line, in a form that equal answers share.

    ``(B).`` is ``b``, ``5.0`` is ``5``; spaces between brackets, case and commas do not count.
    """
    said = answer_line(completion)
    if option := _LETTER.fullmatch(_bare(said)):
        return option[1]
    number = rational(_bare(said))
    return str(number) if number is not None else _brackets(said) or " ".join(_words(said)) or None


def answer_line(completion: str) -> str:
    """Return the first stated answer, else the last line."""
    said = stated(completion)
    if said is None:
        return completion.strip().rpartition("\n")[2].strip()
    return _AGAIN.sub("", said).strip()


def _choice(question: str, said: str, completion: str) -> str | None:
    """Return the letter of the option that is named by its letter or by its text."""
    named = {_bare(text): mark for mark, text in _OPTIONS.findall(question)}
    return named.get(_bare(said)) or letter(said, _LETTERS) or letter(completion, _LETTERS)


def _truth(words: tuple[str, ...], completion: str) -> str | None:
    """Return the first of two words in the stated answer, or the last one in the last line."""
    said = answer_line(completion).casefold()
    found = re.findall(rf"(?<!\bnot )\b(?:{'|'.join(words)})\b", said)
    return found[-1 if stated(completion) is None else 0] if found else None


def _brackets(said: str) -> str | None:
    """Return a sequence of brackets without spaces; ``None`` if there is anything else."""
    bare = "".join(said.split()).strip("\"'`*.")
    return bare if bare and not bare.strip(_BRACKETS) else None


def _words(said: str) -> list[str]:
    return [word for part in re.split(r"[\s,;]+", said) if (word := _bare(part))]


def _bare(text: str) -> str:
    return text.strip(" \t\"'`*.").casefold()
