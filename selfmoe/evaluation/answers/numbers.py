"""Rules for numbers: bare, marked as the answer, money, fractions, amounts with a unit.

Every rule returns a canonical text to compare, or ``None`` if there is nothing of its kind. No
calculation is done with floats, and no number is too long to be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

from selfmoe.evaluation.answers.notation import GROUPED, digits_of, plain_notation
from selfmoe.evaluation.answers.scan import LONGEST, Number, numbers, prepared, valued, written

MARK = re.compile(r"####|\bthe (?:final )?answer is\b:?", re.IGNORECASE)
_RATIONAL = re.compile(rf"-?(?:{GROUPED}|\d+(?:\.\d*)?|\.\d+|\d{{1,3}}(?:,\d{{3}})+\.)", re.VERBOSE)
_ALONE = re.compile(r"\A([\s*_`$(:]*)-[ ]+(?=[$.\d])")
_OPERATOR = re.compile(
    r"\s*(?:[%€]|[A-Za-z]+\s)?[\s)}*_$]*(?:(?P<equals>=|≈|\\approx(?![a-z]))"
    r"|[-+/×÷·*xX]|\\(?:times|cdot|div)(?![a-z]))[\s({$*_]*"
)
_PERCENT = re.compile(r"\s*(?:%|percent\b)", re.IGNORECASE)
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "bn": 9, "billion": 9}
_CURRENCIES = {
    "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "cent": "USD", "cents": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
}  # fmt: skip
_AMOUNT = re.compile(
    rf"(?:\s*(?P<scale>{'|'.join(_SCALES)})\b)?"
    r"(?:\s*(?P<word>dollars?|cents?|euros?|pounds?|USD|EUR|GBP)\b|\s?(?P<behind>€))?",
    re.IGNORECASE,
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
_UNIT = re.compile(r"\s*(?P<unit>%|°|[A-Za-z]+(?:/[A-Za-z]+)?)")


def stated(text: str) -> str | None:
    """Return what stands after the first ``####`` or "The answer is", to the end of the line."""
    mark = MARK.search(text)
    return text[mark.end() :].partition("\n")[0] if mark else None


def marked_number(text: str) -> str | None:
    """Return the number after the first ``####`` or "The answer is", on the same line.

    This is the form that GSM8K's own solutions and its chain-of-thought prompts prescribe. Of an
    equation it is the side that is one number. A number that cannot be read as a whole, such as
    ``12:30``, is none, and none of its parts is.
    """
    found = _stated_numbers(text)
    return found[0].value if found else None


def last_number(text: str) -> str | None:
    """Return the last number in the text, whatever stands around it."""
    found = list(numbers(prepared(text)))
    return (found[-1].value or found[-1].last) if found else None


def final_number(text: str) -> str | None:
    """Return the marked number or, where no number is marked, the last one."""
    found = _stated_numbers(text)
    return found[0].value if found else last_number(text)


def fraction(text: str) -> str | None:
    r"""Return the marked or else the last ratio, reduced: ``6/8``, ``0.75``, ``75%`` are ``3/4``.

    ``1 1/2`` and ``\frac{3}{2}`` are ``3/2``; a whole number has no stroke.
    """
    return _marked_or_last(text, _fraction_of)


def money(text: str) -> str | None:
    """Return the marked or else the last amount of money: ``$1,250.50`` is ``1250.5 USD``.

    Known are dollars and cents, euros and pounds (which are money here, not weight), and
    "thousand", "million" and "billion".
    """
    return _marked_or_last(text, _money_of)


def quantity(text: str) -> str | None:
    """Return the marked or else the last number with its unit: ``1,500 metres`` is ``1500 m``.

    Names of a unit count as one; units are not converted, so that ``1 km`` is not ``1000 m``. Any
    word may be a unit; the s of its plural is dropped.
    """
    return _marked_or_last(text, _quantity_of)


def rational(text: str) -> Fraction | None:
    """Return the value of a text that is a plain number and nothing else."""
    bare = plain_notation(text).strip()
    if len(bare) > LONGEST or not _RATIONAL.fullmatch(bare):
        return None
    return Fraction(digits_of(bare))


def _stated_numbers(text: str) -> list[Number]:
    """Return the numbers of the stated answer, first the one that its equation comes to."""
    said = _ALONE.sub(r"\1-", prepared(stated(text) or ""))
    found = list(numbers(said))
    if not found:
        return []
    sides = [[found[0]]]
    for before, after in pairwise(found):
        between = _OPERATOR.fullmatch(said[before.end : after.start])
        if between and between["equals"]:
            sides.append([after])
        elif between:
            sides[-1].append(after)
        else:
            break
    single = [side[0] for side in sides if len(side) == 1]
    return [single[-1] if len(sides) > 1 and single else found[0], *found[1:]]


def _marked_or_last(text: str, read: Callable[[Number, str], str | None]) -> str | None:
    """Return the first find after the mark or, where that has none, the last of the text."""
    for found in _texts(stated(text) or "", read):
        return found
    return next(reversed(list(_texts(text, read))), None)


def _texts(text: str, read: Callable[[Number, str], str | None]) -> Iterator[str]:
    """Yield what is read in each number and the text behind it."""
    text = prepared(text)
    for number in numbers(text):
        found = read(number, text[number.end :])
        if found is not None:
            yield found


def _fraction_of(number: Number, behind: str) -> str | None:
    value = None if number.value is None else valued(number.value)
    if value is None:
        return None
    return str(value / 100 if _PERCENT.match(behind) else value)


def _money_of(number: Number, behind: str) -> str | None:
    value = None if number.value is None else valued(number.value)
    found = _AMOUNT.match(behind)
    assert found is not None, "everything in the pattern is optional"
    word = (found["word"] or "").lower()
    currency = _CURRENCIES.get(word or number.symbol or found["behind"] or "")
    if value is None or currency is None:
        return None
    value *= 10 ** _SCALES.get((found["scale"] or "").lower(), 0)
    return f"{written(value / (100 if word.startswith('cent') else 1))} {currency}"


def _quantity_of(number: Number, behind: str) -> str | None:
    found = _UNIT.match(behind)
    if number.value is None or found is None:
        return None
    unit = found["unit"].lower()
    single = unit.removesuffix("es") if unit == "inches" else _PLURAL.sub("", unit)
    return f"{number.value} {_UNIT_OF.get(unit) or _UNIT_OF.get(single) or single or unit}"
