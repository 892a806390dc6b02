"""Reads tasks about truth values: comparisons, boolean expressions, who lies."""

from __future__ import annotations

import ast
import re
from itertools import product

from readers.rules import Rules, only

RULES = Rules()

_EXPRESSION = re.compile(r"(?:True|False|and|or|not|\d{1,6}|[<>()]| )+")
_CLAIM = re.compile(r"Now (\w+) says (\w+) (tells the truth|lies)\. ?")
_FACT = re.compile(r"Here (\w+) (tells the truth|lies)\. ?")
_MAX_NAMES = 8


@RULES.add("comparisons", "Is it true that {expression*}?")
def _comparisons(found: re.Match[str]) -> str | None:
    return _value(found["expression"])


@RULES.add("boolean", "What is {expression*}?")
def _boolean(found: re.Match[str]) -> str | None:
    return _value(found["expression"])


@RULES.add("lies", "{facts*} Does {asked} tell the truth?")
def _lies(found: re.Match[str]) -> str | None:
    text = f"{found['facts']} "
    facts, claims = _FACT.findall(text), _CLAIM.findall(text)
    names = sorted({name for name, _ in facts} | {n for a, b, _ in claims for n in (a, b)})
    if _CLAIM.sub("", _FACT.sub("", text)).strip() or len(names) > _MAX_NAMES:
        return None
    worlds = (
        dict(zip(names, honest, strict=True)) for honest in product((0, 1), repeat=len(names))
    )
    fits = [world for world in worlds if _holds(world, facts, claims)]
    answers = [
        {0: "no", 1: "yes"}[world[found["asked"]]] for world in fits if found["asked"] in world
    ]
    return only(answers)


def _holds(
    honest: dict[str, int], facts: list[tuple[str, str]], claims: list[tuple[str, str, str]]
) -> bool:
    return all(honest[who] == (says != "lies") for who, says in facts) and all(
        honest[who] == (honest[whom] == (says != "lies")) for who, whom, says in claims
    )


def _value(text: str) -> str | None:
    """Return "True" or "False", whatever Python would say; None if it is no such expression."""
    if not _EXPRESSION.fullmatch(text):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    value = None if isinstance(tree, ast.Constant) else _evaluate(tree)
    return str(value) if isinstance(value, bool) else None


def _evaluate(node: ast.AST) -> bool | None:
    match node:
        case ast.Constant(value=bool(value)):
            return value
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _evaluate(operand)
            return None if inner is None else not inner
        case ast.BoolOp(op=operator, values=values):
            parts = [_evaluate(value) for value in values]
            if None in parts:
                return None
            return all(parts) if isinstance(operator, ast.And) else any(parts)
        case ast.Compare(
            left=ast.Constant(value=int(left)),
            ops=[ast.Lt() | ast.Gt() as sign],
            comparators=[ast.Constant(value=int(right))],
        ):
            return left < right if isinstance(sign, ast.Lt) else left > right
    return None
