"""Rules for numbers: bare, marked as the answer, money, fractions, amounts with a unit.

Every rule returns a canonical text to compare, or ``None`` if there is nothing of its kind. No
calculation is done with floats, and no number is too long to be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

NUMBER = re.compile(
    r"""
    (?P<minus>(?<![\w)\].,])[-−])?      # a minus after a digit or word is a difference or a hyphen
    (?:[$€£]\s?)?
    (?P<inner>(?<=[$€£])[-−])?          # $-5
    (?P<body>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|\.\d+)
    """,
    re.VERBOSE,
)
_MARK = re.compile(r"####|\bthe (?:final )?answer is\b:?", re.IGNORECASE)
_LONGEST = 300
"""Digits of a number that is calculated with; longer ones are no fraction."""

_RATIONAL = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_PLAIN = r"(?<![\d.,/])[-−]?\d[\d,]*(?:\.\d+)?|(?<![\d.,/])[-−]?\.\d+"
_FRACTION = re.compile(
    rf"""
    (?P<latexminus>[-−]\s*)?\\[dtc]?frac\s*\{{(?P<top>[-−]?\d+)\}}\s*\{{(?P<bottom>[-−]?\d+)\}}
    | (?<![\d.,/])(?P<sign>[-−])?(?:(?P<whole>\d+)\s+)?(?P<over>\d+)\s*/\s*(?P<under>\d+)(?![\d/])
    | (?P<value>{_PLAIN})\s*(?P<percent>\\?%|percent\b)?
    """,
    re.VERBOSE,
)
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "bn": 9, "billion": 9}
_CURRENCIES = {
    "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "cent": "USD", "cents": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
}  # fmt: skip
_MONEY = re.compile(
    rf"""
    (?P<minus>(?<![\w)\].,])[-−])?(?P<symbol>[$€£])\s?(?P<inner>[-−])?
        (?P<body>\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*(?P<scale>{"|".join(_SCALES)})\b)?
    | (?P<amount>{_PLAIN})(?:\s*(?P<size>{"|".join(_SCALES)})\b)?
        \s*(?P<word>dollars?|cents?|euros?|pounds?|USD|EUR|GBP)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNITS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre",
    "km": "kilometer kilometre", "in": "inch", "ft": "foot feet", "mi": "mile",
    "mg": "milligram", "g": "gram", "kg": "kilogram kilo", "lb": "pound", "oz": "ounce",
    "ml": "milliliter millilitre", "l": "liter litre", "s": "second sec", "min": "minute",
    "h": "hour hr", "day": "", "week": "", "month": "", "year": "", "%": "percent",
    "°": "degree deg", "km/h": "kph", "mph": "",
}  # fmt: skip
_UNIT_OF = {word: unit for unit, names in _UNITS.items() for word in (unit, *names.split())}
_PLURAL = re.compile(r"(?<![sui])(?<!\bga)s$")  # neither grass, bus and axis nor gas
_QUANTITY = re.compile(rf"(?P<value>{_PLAIN})\s*(?P<unit>%|°|[A-Za-z]+(?:/[A-Za-z]+)?)")


def stated(text: str) -> str | None:
    """Return what stands after the first ``####`` or "The answer is", to the end of the line."""
    mark = _MARK.search(text)
    return text[mark.end() :].partition("\n")[0] if mark else None


def marked_number(text: str) -> str | None:
    """Return the number after the first ``####`` or "The answer is", on the same line.

    This is the form that GSM8K's own solutions and its chain-of-thought prompts prescribe.
    """
    found = NUMBER.search(stated(text) or "")
    return _canonical(found) if found else None


def last_number(text: str) -> str | None:
    """Return the last number in the text, whatever stands around it."""
    found = list(NUMBER.finditer(text))
    return _canonical(found[-1]) if found else None


def final_number(text: str) -> str | None:
    """Return the marked number or, without a mark, the last one."""
    return marked_number(text) or last_number(text)


def fraction(text: str) -> str | None:
    r"""Return the marked or else the last ratio, reduced: ``6/8``, ``0.75``, ``75%`` are ``3/4``.

    ``1 1/2`` and ``\frac{3}{2}`` are ``3/2``; a whole number has no stroke.
    """
    return _marked_or_last(text, lambda part: _texts(_FRACTION, _fraction_of, part))


def money(text: str) -> str | None:
    """Return the marked or else the last amount of money: ``$1,250.50`` is ``1250.5 USD``.

    Known are dollars and cents, euros and pounds (which are money here, not weight), and
    "thousand", "million" and "billion".
    """
    return _marked_or_last(text, lambda part: _texts(_MONEY, _money_of, part))


def quantity(text: str) -> str | None:
    """Return the marked or else the last number with its unit: ``1,500 metres`` is ``1500 m``.

    Names of a unit count as one; units are not converted, so that ``1 km`` is not ``1000 m``. Any
    word may be a unit; the s of its plural is dropped.
    """
    return _marked_or_last(text, lambda part: _texts(_QUANTITY, _quantity_of, part))


def rational(text: str) -> Fraction | None:
    """Return the value of a text that is a plain number and nothing else."""
    bare = text.replace("−", "-").strip()
    if len(bare) > _LONGEST or not _RATIONAL.fullmatch(bare):
        return None
    return Fraction(bare.replace(",", ""))


def _marked_or_last(text: str, find: Callable[[str], Iterator[str]]) -> str | None:
    """Return the first find after the mark or, where that has none, the last of the text."""
    for found in find(stated(text) or ""):
        return found
    return next(reversed(list(find(text))), None)


def _texts(
    pattern: re.Pattern[str], read: Callable[[re.Match[str]], str | None], text: str
) -> Iterator[str]:
    for match in pattern.finditer(text):
        found = read(match)
        if found is not None:
            yield found


def _fraction_of(match: re.Match[str]) -> str | None:
    if match["value"]:
        value = rational(match["value"])
        return None if value is None else str(value / 100 if match["percent"] else value)
    top, bottom = (
        rational(match["top"] or match["over"]),
        rational(match["bottom"] or match["under"]),
    )
    whole = rational(match["whole"] or "0")
    if top is None or whole is None or not bottom:
        return None
    value = whole + top / bottom
    return str(-value if match["latexminus"] or match["sign"] else value)


def _money_of(match: re.Match[str]) -> str | None:
    value = rational(match["body"] or match["amount"])
    if value is None:
        return None
    word = (match["word"] or "").lower()
    value *= 10 ** _SCALES.get((match["scale"] or match["size"] or "").lower(), 0)
    value /= 100 if word.startswith("cent") else 1
    if match["minus"] or match["inner"]:
        value = -value
    return f"{_decimal(value)} {_CURRENCIES[word or match['symbol']]}"


def _quantity_of(match: re.Match[str]) -> str | None:
    value = rational(match["value"])
    unit = match["unit"].lower()
    single = unit.removesuffix("es") if unit == "inches" else _PLURAL.sub("", unit)
    known = _UNIT_OF.get(unit) or _UNIT_OF.get(single) or single or unit
    return None if value is None else f"{_decimal(value)} {known}"


def _decimal(value: Fraction) -> str:
    """Return a value that a decimal number has, written as one."""
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = str(abs(value.numerator * 10**digits // value.denominator)).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole[:-digits]}.{whole[-digits:]}" if digits else f"{sign}{whole}"


def _canonical(found: re.Match[str]) -> str:
    """Return a number without currency, thousands separators, needless zeros or a plus sign."""
    whole, _, part = found["body"].replace(",", "").partition(".")
    part = part.rstrip("0")
    digits = (whole.lstrip("0") or "0") + (f".{part}" if part else "")
    negative = (found["minus"] or found["inner"]) and digits != "0"
    return f"-{digits}" if negative else digits
