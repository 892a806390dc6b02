r"""When two answers in LaTeX are the same: a plain form of what they hold, and its parts compared.

An answer is a list, a tuple, an interval, a set, a union, a matrix or a scalar. Kinds and the
number of members are told here, and so is the value of a number; only whether two expressions are
equal may need algebra, which knows nothing of the rest (see ``selfmoe.evaluation.mathverify``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from selfmoe.evaluation.answers.latex import bare
from selfmoe.evaluation.answers.plain import ROW, plain_scalar, plain_text, relation

_OPEN, _CLOSE = "([{", ")]}"
_MATRIX = re.compile(
    r"(?P<open>[(\[]?)\\begin\{(?P<name>(?:small)?(?P<kind>[pbBvV]?)matrix|array)\}"
    r"(?:\{[lcr|]*\})?(?P<cells>(?:(?!\\begin).)*)\\end\{(?P=name)\}(?P<close>[)\]]?)"
)
_ENDS = {"<": ("(", ")"), r"\le": ("[", "]")}
_VARIABLE = re.compile(r"(?:[A-Za-z]|\\[a-z]+)(?:_\w|_\{\w+\})?")
_CONSTANT = re.compile(r"(?:[\d+\-./^{}()]|\\(?:infty|pi|frac|sqrt|cdot)|e)+")
_UNORDERED = {",", "{}", "cup"}


class Form(NamedTuple):
    """What an answer is.

    Attributes:
        kind: ``""`` for a scalar, ``","`` for a list or set of several, a pair of brackets for
            tuples, intervals and sets, ``cup``, ``matrix``, ``row``.
        parts: Its members.
        text: Of a scalar the plain form.
        whole: The same with ``y =`` in front, if that stood there.
    """

    kind: str
    parts: tuple[Form, ...] = ()
    text: str = ""
    whole: str = ""

    def __str__(self) -> str:
        """Return the form as a text; members in any order where order does not matter."""
        if not self.kind:
            return self.text
        members = [str(part) for part in self.parts]
        if self.kind in _UNORDERED:
            members = sorted(set(members))
        match self.kind:
            case "," | "row":
                return {",": ",", "row": "&"}[self.kind].join(members)
            case "cup":
                return r"\cup".join(members)
            case "matrix" | "determinant":
                return rf"{self.kind}({';'.join(members)})"
        brackets = (r"\{", r"\}") if self.kind == "{}" else self.kind
        return f"{brackets[0]}{','.join(members)}{brackets[1]}"


Equal = Callable[[str, str], bool]


def plain_math(latex: str) -> str:
    """Return an answer in LaTeX in one form.

    Markup, spacing, ``$``, degree and percent signs, units behind a number, ``x =`` in front and a
    full stop behind are dropped; shorthand is completed; numbers in any notation and ratios of
    numbers are reduced ratios; members of a list or set are sorted; inequalities are intervals.
    """
    return str(form_of(latex))


def same_math(one: str, other: str, equal: Equal | None = None) -> bool:
    """Return whether two answers in LaTeX are the same.

    Args:
        one: An answer.
        other: Another.
        equal: Says whether two expressions are equal; by default no two unlike ones are.
    """
    forms = form_of(one), form_of(other)
    texts = str(forms[0]), str(forms[1])
    if not all(texts):
        return False
    return texts[0] == texts[1] or _percent(one, other, texts) or _same(*forms, equal)


def form_of(latex: str) -> Form:
    """Return what an answer in LaTeX is."""
    return _form(plain_text(bare(latex)))


def _form(text: str) -> Form:
    if found := _MATRIX.fullmatch(text):
        return _matrix(found)
    if len(unions := _split(text, r"\cup")) > 1:
        return Form("cup", tuple(map(_form, unions)))
    if len(members := _split(text, ",")) > 1:
        return _list(members)
    if held := _held(text):
        return held
    for sign in (r"\pm", r"\mp"):
        if text.count(sign) == 1 and r"\pm" + r"\mp" not in text:
            return _list([text.replace(sign, "+").removeprefix("+"), text.replace(sign, "-")])
    return _interval(text) or Form("", (), plain_scalar(text), text)


def _list(members: Sequence[str]) -> Form:
    """Return a list; names in front of its members stay where there are several."""
    names = {found[1] for one in members if (found := re.match(r"([A-Za-z])=", one))}
    if len(names) > 1:
        return Form(",", tuple(Form("", (), one) for one in members))
    parts = tuple(map(_form, members))
    if all(len(part.parts) == 2 and part.kind[0] in "([" for part in parts if part.kind) and all(
        relation(one) for one in members
    ):
        return Form("cup", parts)
    return Form(",", parts)


def _held(text: str) -> Form | None:
    """Return what brackets around a whole text hold."""
    if text.startswith(r"\{") and text.endswith(r"\}"):
        members = _split(text[2:-2], ",")
        return Form("," if len(members) > 1 else "{}", tuple(map(_form, members)))
    if not text or text[0] not in "([" or text[-1] not in ")]" or not _closes_last(text):
        return None
    members = _split(text[1:-1], ",")
    if len(members) > 1:
        return Form(text[0] + text[-1], tuple(map(_form, members)))
    return _form(text[1:-1]) if text[0] == "(" and text[-1] == ")" and text[1:-1] else None


def _interval(text: str) -> Form | None:
    """Return an inequality in one variable as the interval that it says its variable is in."""
    if found := re.fullmatch(rf"(?:{_VARIABLE.pattern})\\in(?![a-z])(.+)", text):
        return _form(found[1])
    found_relation = relation(text)
    if found_relation is None:
        return None
    sides, signs = found_relation
    if len(sides) == 3 and _VARIABLE.fullmatch(sides[1]):
        low, high = sides[0], sides[2]
    elif len(sides) == 2 and _VARIABLE.fullmatch(sides[0]):
        low, high, signs = r"-\infty", sides[1], ["<", *signs]
    elif len(sides) == 2 and _VARIABLE.fullmatch(sides[1]):
        low, high, signs = sides[0], r"\infty", [*signs, "<"]
    else:
        return None
    if not (_CONSTANT.fullmatch(low) and _CONSTANT.fullmatch(high)):
        return None
    return Form(_ENDS[signs[0]][0] + _ENDS[signs[1]][1], (_form(low), _form(high)))


def _matrix(found: re.Match[str]) -> Form:
    cells = re.sub(rf"{ROW}(?:\[[^\]]*\])?|\\cr(?![a-z])", "\n", found["cells"]).strip("\n")
    rows = [Form("row", tuple(map(_form, row.split("&")))) for row in cells.split("\n")]
    return Form("determinant" if found["kind"] in ("v", "V") else "matrix", tuple(rows))


def _split(text: str, mark: str) -> list[str]:
    """Return what a mark outside brackets separates."""
    parts, depth, place = [""], 0, 0
    while place < len(text):
        if text.startswith(mark, place) and depth == 0:
            parts.append("")
            place += len(mark)
            continue
        depth += (text[place] in _OPEN) - (text[place] in _CLOSE)
        parts[-1] += text[place]
        place += 1
    return parts


def _closes_last(text: str) -> bool:
    """Return whether the first bracket is closed by the last one."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if depth == 0:
            return place == len(text) - 1
    return False


def _same(one: Form, other: Form, equal: Equal | None) -> bool:
    if one.kind != other.kind or len(one.parts) != len(other.parts):
        return False
    if not one.kind:
        ways = dict.fromkeys([(one.text, other.text), (one.whole, other.whole)])
        return one.text == other.text or any(equal(*way) for way in ways if equal)
    if one.kind not in _UNORDERED:
        pairs = zip(one.parts, other.parts, strict=True)
        return all(_same(a, b, equal) for a, b in pairs)
    left = list(other.parts)
    for part in one.parts:
        match = next((n for n, rest in enumerate(left) if _same(part, rest, equal)), None)
        if match is None:
            return False
        del left[match]
    return True


def _percent(one: str, other: str, texts: tuple[str, str]) -> bool:
    """Return whether one answer is a percentage, and the other its value."""
    marked = ["%" in one or "percent" in one, "%" in other or "percent" in other]
    if marked[0] == marked[1]:
        return False
    share, value = texts if marked[0] else texts[::-1]
    try:
        return Fraction(share) / 100 == Fraction(value)
    except (ValueError, ZeroDivisionError):
        return False
