r"""Numbers as people, models and LaTeX write them, in the notation that the rules read.

``plain_notation`` rewrites characters and LaTeX, never a value: digits of any script become ASCII,
all minus signs ``-``, spaces that do not break ``THIN``, raised digits ``^{…}``, fractions ``a/b``.
``BODY`` and ``digits_of`` are the one place that says what separates thousands and decimals.
"""

from __future__ import annotations

import re
import unicodedata

THIN = "\u2009"
"""What a space that does not break becomes: in a number it separates thousands."""

_ALIKE = {
    "-": "\u2212\u2010\u2011\u2012\u2013\u02d7\u2796\ufe63\uff0d",
    THIN: "\u00a0\u202f\u2004\u2005\u2006\u2007\u2008\u200a\u3000",
    "": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u061c\u2066\u2067\u2068\u2069",
    "/": "\u2044\u2215\uff0f",
    "%": "\uff05\ufe6a\u066a",
    ",": "\uff0c\u066c",
    ".": "\uff0e\u066b",
    "'": "\u2019\uff07\u02bc",
    "+": "\uff0b",
    "=": "\uff1d",
    ":": "\uff1a\u2236",
    "(": "\uff08",
    ")": "\uff09",
    "$": "\uff04\ufe69",
    "\u00a3": "\uffe1",
    "\u00a5": "\uffe5",
}
_ASCII = str.maketrans({other: sign for sign, others in _ALIKE.items() for other in others})
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
_SHIFTED = re.compile(f"(?P<up>[{''.join(_RAISED)}]+)|(?P<down>[{''.join(_LOWERED)}]+)")
_VULGAR = re.compile(r"(?P<before>\d?)(?P<sign>[\u00bc-\u00be\u2150-\u215e\u2189])")

_WRAPPED = re.compile(
    r"\\(?:boxed|fbox|text[a-z]*|math[a-z]+|mbox|emph|underline|operatorname)\s*\{([^{}]*)\}"
)
_BRACES = re.compile(r"(?<![\w^}\]])\{(-?[\d.,]+)\}")
_COMMA = re.compile(r"(?<=\d)(?:\{,\}|\{,\\!\}|,\\!)\s*(?=\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\d}])(\d+)\{,\}(?!\d{3}(?!\d))(?=\d+(?![\d{]))")
_SPACE = re.compile(r"(?<=\d)(?:\\[,:; ]|\\thinspace\s*|\{\\[,:; ]\}|\\(?:th|med)space\s*)+(?=\d)")
_TIE = re.compile(r"(?<=[$({])\d{1,3}(?:~\d{3})+(?=[$)}.])")
_FRAC = re.compile(
    r"(?P<before>\d?)\s*\\[dtc]?frac\s*(?:\{\s*(?P<over>-?\d+)\s*\}|(?P<top>\d))"
    r"\s*(?:\{\s*(?P<under>-?\d+)\s*\}|(?P<bottom>\d))(?!\s*\d)"
)

_WHOLE = rf"""
    [1-9]\d{{0,2}}(?:,\d{{3}})+ | [1-9]\d?(?:,\d{{2}})+,\d{{3}} | [1-9]\d{{0,2}}(?:{THIN}\d{{3}})+
    | (?<!\d[ ])[1-9]\d{{0,2}}(?:[ ]\d{{3}})+(?![ ]?\d) | [1-9]\d{{0,2}}(?:'\d{{3}})+
    | [1-9]\d{{0,2}}(?:_\d{{3}})+
"""
GROUPED = rf"(?:{_WHOLE})(?:\.\d+)?(?!\d)"
"""A number whose thousands are set apart, in verbose notation."""

PLAIN = rf"\d+(?:\.\d+(?:{THIN}\d{{3}})+(?:{THIN}\d{{1,2}})?(?!\d)|\.\d+)?|\.\d+"
_COMMAS = rf"""
    [1-9]\d{{0,2}}(?:\.\d{{3}})+,\d+(?!\d) | [1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}(?!\d)
    | [1-9]\d{{0,2}}(?:[ {THIN}]\d{{3}})+,\d+(?!\d) | 0,\d+(?![\d,])
"""
BODY = rf"(?:(?P<comma>{_COMMAS})|{GROUPED}|{PLAIN})"
"""A number without its sign, in verbose notation; ``comma`` is one with a decimal comma."""


def plain_notation(text: str) -> str:
    """Return a text with every number in it written in ASCII, as far as its value is not decided.

    A number with separators keeps them; what they mean is for ``digits_of`` to say.
    """
    text = ascii_digits(text)
    return _without_latex(text) if "\\" in text or "{" in text or "~" in text else text


def digits_of(body: str, comma: bool = False) -> str:
    """Return what ``BODY`` matched, without thousands separators and with a decimal point.

    Args:
        body: The text.
        comma: Whether the comma in it stands before decimals.
    """
    if comma:
        body = body.replace(".", "").replace(",", ".")
    return re.sub(rf"[,'_ {THIN}]", "", body)


def ascii_digits(text: str) -> str:
    """Return a text with ASCII digits and signs, raised digits as powers; LaTeX stays as it is."""
    if text.isascii():
        return text
    text = _VULGAR.sub(_vulgar, _SHIFTED.sub(_shifted, text)).translate(_ASCII)
    return "".join(
        str(unicodedata.decimal(sign)) if sign.isdecimal() and not sign.isascii() else sign
        for sign in text
    )


def _shifted(found: re.Match[str]) -> str:
    if found["up"]:
        return f"^{{{''.join(map(_RAISED.__getitem__, found['up']))}}}"
    return f"_{{{''.join(map(_LOWERED.__getitem__, found['down']))}}}"


def _vulgar(found: re.Match[str]) -> str:
    """Return a fraction that is one character as two numbers; a number before it makes it mixed."""
    ratio = unicodedata.normalize("NFKC", found["sign"]).replace("\u2044", "/")
    return f"{found['before']} {ratio}" if found["before"] else ratio


def _without_latex(text: str) -> str:
    """Return a text without LaTeX that stands in or around numbers."""
    text = text.replace(r"\$", "$").replace(r"\%", "%").replace(r"\text{-}", "-")
    for _ in range(2):
        text = _WRAPPED.sub(r"\1", text)
    text = _TIE.sub(lambda found: found[0].replace("~", THIN), text)
    text = _COMMA.sub(",", _DECIMAL_COMMA.sub(r"\1.", text))
    text = _FRAC.sub(_fraction, _SPACE.sub(THIN, text).replace(r"\!", ""))
    return _BRACES.sub(r"\1", re.sub(r"-\s*\\[,:; ]\s*(?=\d)", "-", text.replace("{-}", "-")))


def _fraction(found: re.Match[str]) -> str:
    """Return a fraction of two whole numbers with a stroke; a number before it makes it mixed."""
    top, bottom = found["over"] or found["top"], found["under"] or found["bottom"]
    negative = (top[0] == "-") != (bottom[0] == "-")
    ratio = f"{'-' * negative}{top.lstrip('-')}/{bottom.lstrip('-')}"
    return f"{found['before']} {ratio}" if found["before"] else ratio
