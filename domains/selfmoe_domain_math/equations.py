"""Whether the equations that an answer writes down are true: a check that needs no gold answer."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from selfmoe.kits.domains import GROUPED, digits_of, plain_notation

_SIDES = re.compile(
    r"(?<![\w.%])(?P<left>[(\d$][\d\s.,$()+*/×÷x-]*?)\s*=\s*\$?(?P<right>-?\d+(?:\.\d+)?)"
    r"(?!\d|[.,:\'_\u2009~]\d|[%/\\{_e]|\s*[-+*/×÷x^(])"
)
_PLAIN = str.maketrans({"×": "*", "÷": "/", "x": "*", "$": ""})
_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_GROUPED = re.compile(rf"(?<![\d.,])(?:{GROUPED})", re.VERBOSE)
_LONGEST = 200


def false_equation(text: str) -> str | None:
    """Return the first equation of a text that does not hold, or ``None``.

    Equations are sums, differences, products and quotients of numbers with one number on the right;
    it may be rounded. Whatever cannot be read as a whole is not judged.
    """
    for left, right in _equations(text):
        value = _value(left)
        if value is not None and abs(value - Fraction(right)) > _half_a_digit(right):
            return f"{left} = {right}"
    return None


def _equations(text: str) -> Iterator[tuple[str, str]]:
    for found in _SIDES.finditer(_GROUPED.sub(_ungrouped, plain_notation(text))):
        left = found["left"].translate(_PLAIN).strip()
        if len(left) <= _LONGEST and re.search(r"[-+*/]", left):
            yield left, found["right"]


def _ungrouped(found: re.Match[str]) -> str:
    return digits_of(found[0])


def _value(expression: str) -> Fraction | None:
    try:
        return _evaluate(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None


def _evaluate(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
    raise ValueError("not arithmetic")


def _half_a_digit(number: str) -> Fraction:
    """Return how far a number may be off if it is rounded: nothing for whole numbers."""
    _, _, decimals = number.partition(".")
    return Fraction(1, 2 * 10 ** len(decimals)) if decimals else Fraction(0)
