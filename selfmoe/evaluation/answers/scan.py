r"""Finding the numbers of a text, each as a whole: signs, powers, fractions and decimals included.

What stands around digits decides what they are. A number that is part of something else, such as
``12:30``, ``344_5``, ``2\sqrt{3}`` or ``1.2.3``, is found, too, but has no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from selfmoe.evaluation.answers.notation import BODY, GROUPED, THIN, digits_of, plain_notation

LONGEST = 300
"""Digits of a number that is calculated with; others are read as texts, or not at all."""

_TIMES = r"(?:\\times|\\cdot|[×·*xX])"
_HELD = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_NUMBER = re.compile(
    rf"""
    (?P<other>
        (?:\\(?:sqrt|[dt]?binom|[dtc]?frac|overline|log|ln|sin|cos|tan|exp|sum|prod)(?![a-z])|√)
        (?:\s*[_^](?:{_HELD}|\w))*(?:\[[^\]]*\])?(?:\s*{_HELD}|\s*-?[\d.]+){{0,2}}
    )
    | (?P<both>(?:±|\\pm|\+/-)\s*)?
    (?:(?<=[=(:<>])\s*(?P<apart>-)\s* | (?P<minus>(?<![\w)\].,])-){THIN}?)?
    (?:(?P<symbol>[$€£¥₹])\s?(?P<inner>-)?)?
    (?<![\d^_])(?<!\d[.,])(?<![\^_]\{{)(?<![\^_]-)(?<![\^_]\{{-)(?<!\w\*\*)
    (?: (?P<whole>\d+)[ {THIN}]+(?P<over>\d+)\s*/\s*(?P<under>\d+)(?![\d.,]*\d)
      | (?P<body>{BODY})
        (?: \s*/\s*(?P<divisor>{GROUPED}|\d+(?:\.\d+)?)
          | [eE](?P<e>[-+]?\d+)(?!\w)
          | \s*(?:\^\s*\{{?\s*(?P<power>[-+]?\d+)\s*\}}? | \*\*\s*(?P<python>-?\d+))
          | \s*{_TIMES}\s*10\s*
            (?:\^\s*\{{?\s*(?P<ten>[-+]?\d+)\s*\}}? | \*\*\s*(?P<tens>-?\d+)(?!\*))
          | \.?\\overline\{{(?P<period>\d+)\}}
        )?
    )
    """,
    re.VERBOSE,
)
_CHANGES = ("divisor", "period", "power", "python", "ten", "tens", "e")
_MORE = re.compile(
    rf"""
    [:,.'/{THIN}~]\d[\d:,.'/{THIN}~]* | _(?:\{{|\d)[\w}}]* | (?<=0)[xbo][\da-fA-F]+
    | \s[:]\s\d+ | \^ (?!\s*\{{?\s*\\(?:circ|degree|prime))
    | (?=\s*(?:\\cdot|[*·])?\s*
        (?:√|π|\\(?:sqrt|pi|[dtc]?frac|[dt]?binom|log|ln|sin|cos|tan)(?![a-z])))
    """,
    re.VERBOSE,
)
_LIST = re.compile(r"\d+(?:,\d+)+")
_PRICE = re.compile(r"(?P<symbol>[€£¥₹]?)\s?(?P<price>\d+,\d\d)(?P<after>\s?(?:€|EUR\b|euros?\b))?")
_MINUS = re.compile(
    r"(?P<before>(?:\b(?:is|equals|to|be|was)\b|[=:]|\A)[\s*_`$(]*)minus\s+(?=\$?\.?\d)",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"\bnegative\s+(?=\$?\.?\d)", re.IGNORECASE)


class Number(NamedTuple):
    """A number of a text.

    Attributes:
        start: Where it begins, with its sign.
        end: Where it ends.
        value: As a decimal number or a ratio; ``None`` if it cannot be read.
        symbol: The currency in front of it; empty if there is none.
        last: Of numbers that commas join to no number, the last one.
    """

    start: int
    end: int
    value: str | None
    symbol: str = ""
    last: str | None = None


def prepared(text: str) -> str:
    """Return a text in plain notation, as ``numbers`` reads it."""
    return _NEGATIVE.sub("-", _MINUS.sub(r"\g<before>-", plain_notation(text)))


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers of a text that is ``prepared``, from left to right."""
    place = 0
    while found := _NUMBER.search(text, place):
        more = None if found["other"] else _MORE.match(text, found.end())
        start, place = found.start(), (more or found).end()
        if more and (price := _PRICE.match(text, found.start("body"))) and price["after"]:
            yield Number(start, place, _signed(found, plain(price["price"].replace(",", "."))))
        else:
            yield _number(found, text[start:place], whole=more is None)


def _number(found: re.Match[str], text: str, *, whole: bool) -> Number:
    start, end, symbol = found.start(), found.start() + len(text), found["symbol"] or ""
    listed = _LIST.fullmatch(text.lstrip("-$€£¥₹ "))
    price = _PRICE.fullmatch(text.lstrip("-"))
    if price and price["symbol"]:
        value = plain(price["price"].replace(",", "."))
        return Number(start, end, _signed(found, value), symbol)
    if found["other"] or found["both"] or not whole:
        last = plain(listed[0].rpartition(",")[2]) if listed else None
        return Number(start, end, None, symbol, last)
    return Number(start, end, _value(found), symbol)


def plain(digits: str) -> str:
    """Return decimal digits without needless zeros; no number is too long for that."""
    whole, _, part = digits.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def written(value: Fraction) -> str:
    """Return a value as a decimal number where it has one, else as a ratio."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return _decimal(value) if rest == 1 else str(value)


def valued(text: str) -> Fraction | None:
    """Return the value of what ``plain`` or ``written`` returned; ``None`` if it is too long."""
    return Fraction(text) if len(text) <= LONGEST else None


def _value(found: re.Match[str]) -> str | None:
    """Return the value of a number that stands alone; ``None`` if it cannot be told."""
    if found["whole"]:
        value = _ratio(found["over"], found["under"])
        whole = _fraction(found["whole"])
        return None if value is None or whole is None else _signed(found, written(whole + value))
    body = digits_of(found["body"], bool(found["comma"]))
    value = _changed(body, found)
    if value is None:
        changed = any(found[name] for name in _CHANGES)
        return None if changed else _signed(found, plain(body))
    return _signed(found, written(value))


def _changed(body: str, found: re.Match[str]) -> Fraction | None:
    """Return the value that a power, divisor or period gives; ``None`` if none can be told."""
    if found["divisor"]:
        return _ratio(body, digits_of(found["divisor"]))
    base = _fraction(body)
    if base is None:
        return None
    if found["period"]:
        return base + _period(body, found["period"])
    if power := found["power"] or found["python"]:
        return _raised(base, power)
    ten = found["ten"] or found["tens"] or found["e"]
    factor = _raised(Fraction(10), ten) if ten else None
    return None if factor is None else base * factor


def _ratio(over: str, under: str) -> Fraction | None:
    top, bottom = _fraction(over), _fraction(under)
    return top / bottom if top is not None and bottom else None


def _raised(base: Fraction, exponent: str) -> Fraction | None:
    """Return a power; ``None`` if it is too long to be calculated with, or there is none."""
    size = len(str(base.numerator)) + len(str(base.denominator))
    power = int(exponent) if len(exponent) < len(str(LONGEST)) + 2 else LONGEST
    if abs(power) * size > 2 * LONGEST or (not base and power <= 0):
        return None
    return base**power


def _period(body: str, period: str) -> Fraction:
    """Return what repeating decimals add: ``0.1`` and ``6`` are one sixth."""
    decimals = len(body.partition(".")[2])
    return Fraction(int(period[:LONGEST]), (10 ** len(period[:LONGEST]) - 1) * 10**decimals)


def _fraction(digits: str) -> Fraction | None:
    return Fraction(digits) if len(digits) <= LONGEST else None


def _signed(found: re.Match[str], value: str) -> str:
    negative = found["minus"] or found["apart"] or found["inner"]
    return f"-{value}" if negative and value != "0" else value


def _decimal(value: Fraction) -> str:
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = str(abs(value.numerator * 10**digits // value.denominator)).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole[:-digits]}.{whole[-digits:]}" if digits else f"{sign}{whole}"
