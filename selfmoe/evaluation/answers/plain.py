r"""Plain forms of LaTeX without its structure: of a whole answer, and of a part.

``plain_text`` drops what only looks and completes shorthand; ``plain_scalar`` reads a number in any
notation and names what needs no algebra; ``algebraic`` says whether algebra may tell two apart.
"""

from __future__ import annotations

import re
from fractions import Fraction

from selfmoe.evaluation.answers.notation import THIN, ascii_digits
from selfmoe.evaluation.answers.scan import numbers, prepared, valued
from selfmoe.evaluation.answers.units import scaled, without_unit

_SIGNS = {
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ",
    "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "×": r"\cdot ", "·": r"\cdot ",
    "⋅": r"\cdot ", "÷": "/", "±": r"\pm ", "√": r"\sqrt ", "°": "", "º": "", "θ": r"\theta ",
    "…": r"\ldots ", "≈": r"\approx ", "⟨": r"\langle ", "⟩": r"\rangle ",
}  # fmt: skip
_WRITTEN = str.maketrans(_SIGNS)
_RENAMED = (
    (r"\\(?:leqslant|leq)(?![a-z])", r"\\le "),
    (r"\\(?:geqslant|geq)(?![a-z])", r"\\ge "),
    (r"\\neq(?![a-z])", r"\\ne "),
    (r"\\(?:times|ast)(?![a-z])", r"\\cdot "),
    (r"\\(?:varnothing)(?![a-z])", r"\\emptyset "),
    (r"\\[dtc]frac(?![a-z])", r"\\frac"),
    (r"\\lbrace(?![a-z])", r"\\{"),
    (r"\\rbrace(?![a-z])", r"\\}"),
    (r"\\[lr]brack(?![a-z])", ""),
    (r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"(?<![\\A-Za-z])(pi|infty)(?![A-Za-z])", r"\\\1 "),
    (r"(?<![\\A-Za-z])(?:infinity|oo)(?![A-Za-z])", r"\\infty "),
    (r"<=", r"\\le "),
    (r">=", r"\\ge "),
    (r"(?<=[\w)}])\s*\*\*\s*(?=[\w({-])", "^"),
)
_DROPPED = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?)(?![a-z])|\\(?:display|text|script)style|\\[,;:! ]|\\q?quad"
    r"|\\(?:limits|nolimits|thinspace)(?![a-z])|~|\^\s*\{?\s*\\circ\s*\}?|\\degree|\\?%|\\\$|\$"
    r"|\\\(|\\\)|\\\[|\\\]|\\[hv]space\*?\{[^{}]*\}"
)
_TEXT = re.compile(
    r"\\(?:text[a-z]*|math(?:rm|bf|it|sf|tt|bb|cal|frak)|mbox|emph|underline|boldsymbol|bm"
    r"|operatorname\*?)\s*\{([^{}]*)\}"
)
_AND = re.compile(r"\s*,?\s*\\(?:text|mbox|textrm)\s*\{\s*,?\s*(?:and|or)\s*\}\s*")
_AND_BARE = re.compile(r"(?<=[\w)}\]$])\s*,?\s+(?:and|or)\s+(?=[\w(\\\[{$-])")
_GROUPED = re.compile(
    rf"(?<![\d.,])(?<!\d[ ])([1-9]\d{{0,2}})"
    rf"((?P<sep>\{{,\}}|,\\!\s*|\{{,\\!\}}|\\[,:; ]|\{{\\[,:; ]\}}|\\!|{THIN}|~|[ ])\d{{3}}"
    rf"(?:(?P=sep)\d{{3}})*)(?!\d)(?![ ]\d)"
)
_DECIMAL = re.compile(r"(?<![\d}])(\d+)\{,\}(?=\d+(?![\d{]))")
_MIXED = re.compile(
    r"(?<![\w.^\\}])(\d+)"
    r"(?:\s*\\[dtc]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
    r"|\s+(\d+)\s*/\s*(\d+)(?![\d/]))"
)
_NAME = (
    r"(?:[A-Za-z](?:_\w|_\{\w+\})?(?:\^\{?-1\}?)?(?:\([a-z]\))?|[A-Z]{2,3}"
    r"|\\(?:theta|alpha|beta|phi|lambda|omega|angle[A-Z]{1,3}))"
)
_ASSIGNED = re.compile(rf"{_NAME}=(?=[^=<>]+\Z)")
_LETTER = re.compile(r"\(([A-Z])\)")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])")
_RATIO = re.compile(r"((?<![\w)}\]])-)?(?<![\d^_])\\frac\{(-?[\d.]+)\}\{(-?[\d.]+)\}(?!\d)")
_STROKE = re.compile(
    r"(-?)((?:\d|\\pi|\\sqrt\{[^{}]*\}|[a-zA-Z]|[\^_]\d)+|\([^()]+\))/"
    r"(\d+|\\pi|\\sqrt\{[^{}]*\}|[a-zA-Z]|\([^()]+\))"
)
_APART = "\u2423"
"""Stands between two numbers that only a space separates: they are not one."""
ROW = "\u2424"
"""Stands for the end of a matrix' row."""
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_NO_ALGEBRA = re.compile(rf"\d_|[:;'{_APART}{ROW}%&]|[A-Za-z]{{4,}}")
_READ_OTHERWISE = re.compile(r"\^(?:\w|\{[^{}]*\})\^|(?<![A-Za-z])[fghFGH]\^\{?-")
_ATOM = re.compile(r"-?[\w.]+")
_SIGN = re.compile(r"(<|>|\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z]))")
_CONSTANTS = {"e", "i"}
_INFINITE = {r"\infty", r"-\infty", r"\emptyset"}
_TURNED = {">": "<", r"\ge": r"\le"}


def plain_text(latex: str) -> str:
    """Return an answer without what only looks, and with shorthand completed."""
    text = ascii_digits(latex.strip().removesuffix(".").strip()).replace(r"\\", ROW)
    text = _DECIMAL.sub(r"\1.", _GROUPED.sub(_joined, text.translate(_WRITTEN)))
    text = _AND.sub(",", text.replace(r"{,}", ",").replace(r"\!", "").replace(r"\ldots", "..."))
    if any(sign.isdigit() for sign in text):
        text = _AND_BARE.sub(",", text)
    text = without_unit(scaled(text))
    for pattern, written in _RENAMED:
        text = re.sub(pattern, written, text)
    for _ in range(2):
        text = _TEXT.sub(r"\1", text)
    text = _MIXED.sub(_sum, _DROPPED.sub(" ", text))
    text = re.sub(r"(\\[a-zA-Z]+(?=\s+[A-Za-z])|[_^]\w(?=\s+\w))\s+", r"\1{}", text.strip())
    text = re.sub(r"(?<=\d)\s+(?=\d)", _APART, text)
    return _ungrouped(_completed(re.sub(r"\s+", "", text)).replace("{}", " "))


def plain_scalar(text: str) -> str:
    """Return a part that has no members: a number as a reduced ratio, ``x =`` in front dropped."""
    text = _result(_ASSIGNED.sub("", text.strip().removeprefix("+")))
    if found := _LETTER.fullmatch(text):
        return found[1]
    value = number_value(text)
    if value is not None:
        return str(value)
    if (sides := relation(text)) is not None:
        return "".join(map("".join, zip(sides[0], [*sides[1], ""], strict=True)))
    text = re.sub(r"(?<=[\d})])(?:\\cdot|\*)(?=[a-zA-Z\\(])", "", text)
    if found := _STROKE.fullmatch(text):
        text = rf"{found[1]}\frac{{{_held(found[2])}}}{{{_held(found[3])}}}"
    return _RATIO.sub(_reduced, text)


def number_value(text: str) -> Fraction | None:
    """Return the value of a text that is one number, in any notation, and nothing else."""
    ready = prepared(text)
    found = list(numbers(ready))
    if len(found) != 1 or found[0].value is None or found[0].symbol:
        return None
    return valued(found[0].value) if (found[0].start, found[0].end) == (0, len(ready)) else None


def relation(text: str) -> tuple[list[str], list[str]] | None:
    r"""Return the sides and signs of an inequality, turned so that all are ``<`` or ``\le``."""
    parts = _SIGN.split(text)
    sides, signs = [part.strip() for part in parts[::2]], parts[1::2]
    if not signs or not all(sides):
        return None
    if all(sign in _TURNED for sign in signs):
        return sides[::-1], [_TURNED[sign] for sign in signs[::-1]]
    return (sides, signs) if all(sign in _TURNED.values() for sign in signs) else None


def algebraic(one: str, other: str) -> bool:
    """Return whether algebra may find two unlike plain scalars equal; else they are different.

    It has no say on numbers, words, numerals of other bases, ratios and times of day, nor where it
    reads otherwise than people: powers of powers without braces, inverse functions. Letters keep
    their case and are no units, and an equation or inequality equals nothing but another one.
    """
    if any(not text or _NO_ALGEBRA.search(_COMMAND.sub(r"\\", text)) for text in (one, other)):
        return False
    if any(map(_READ_OTHERWISE.search, (one, other))):
        return False
    if _INFINITE & {one, other} or None not in (number_value(one), number_value(other)):
        return False
    letters = [sorted(set(_letters(text))) for text in (one, other)]
    if letters[0] != letters[1] and _folded(letters[0]) == _folded(letters[1]):
        return False
    if _CONSTANTS.issuperset(letters[0]) != _CONSTANTS.issuperset(letters[1]):
        return False
    if any((sign in one) != (sign in other) for sign in ("=", "<", r"\le", r"\ne")):
        return False
    if "=" in one and not all(letters):
        return False
    atoms = _ATOM.fullmatch(one) and _ATOM.fullmatch(other)
    return not atoms or sorted(one) == sorted(other)


def _folded(letters: list[str]) -> list[str]:
    return sorted({letter.lower() for letter in letters})


def _letters(text: str) -> str:
    return "".join(re.findall(r"[A-Za-z]", _COMMAND.sub("", text)))


def _result(text: str) -> str:
    """Return what an equation comes to, if that is a number: of ``3 * 4 = 12`` it is 12."""
    sides = text.split("=")
    if len(sides) < 2 or _SIGN.search(text) or number_value(sides[-1]) is None:
        return text
    named = len(sides) > 2 and not _letters(sides[-1])
    return sides[-1] if named or not _letters("".join(sides)) else text


def _joined(found: re.Match[str]) -> str:
    return found[1] + found[2].replace(found["sep"], "")


def _ungrouped(text: str) -> str:
    """Return a text without the commas of thousands, where it has no others."""
    found = _THOUSANDS.findall(text)
    alone = len(found) == 1 and found[0].count(",") == text.count(",") and found[0][0] != "0"
    if not alone or re.match(r"[(\[]|\\\{", text):
        return text
    return text.replace(",", "")


def _completed(text: str) -> str:
    r"""Return LaTeX with braces put in: ``\frac12``, ``\frac1{72}``, ``\sqrt2``, ``x^{2}``."""
    text = re.sub(r"\\frac(\w)(\w)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\w)(?=\{)", r"\\frac{\1}", text)
    text = re.sub(r"(\\frac\{[^{}]*\})(\w)", r"\1{\2}", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)


def _sum(found: re.Match[str]) -> str:
    """Return a mixed number such as ``2 1/2`` as one ratio."""
    whole, top, bottom = (int(part) for part in filter(None, found.groups()))
    value = whole + Fraction(top, bottom) if bottom else None
    return found[0] if value is None else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _reduced(found: re.Match[str]) -> str:
    top, bottom = number_value(found[2]), number_value(found[3])
    if top is None or not bottom:
        return found[0]
    value = top / bottom
    return str(-value if found[1] else value)


def _held(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text
