"""Finding the answer in a completion, and telling whether two answers are the same."""

from selfmoe.evaluation.answers import (
    any_math,
    boxed,
    final_math,
    final_number,
    letter,
    marked_number,
    same_math,
    short,
    stated,
)
from selfmoe.evaluation.answers.notation import GROUPED, digits_of, plain_notation
from selfmoe.evaluation.answers.numbers import rational

__all__ = [
    "GROUPED",
    "any_math",
    "boxed",
    "digits_of",
    "final_math",
    "final_number",
    "letter",
    "marked_number",
    "plain_notation",
    "rational",
    "same_math",
    "short",
    "stated",
]
