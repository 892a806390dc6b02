"""What a word is, in any script; all that compares, counts, finds or cuts words asks here.

Words are those of Unicode (UAX #29, default boundaries, by the library ``regex``): what letters,
marks and digits make together, and in scripts that write no spaces every ideograph and every
cluster. Three things differ, because words are compared here:

- Korean syllables are apart, as ideographs are: spacing varies, and particles change endings;
- hiragana goes in runs around the five commonest particles, as one ending is not six words;
- a sign that makes another name belongs to it: ``C``, ``C++`` and ``C#`` are three words.

Punctuation is never in a word, so in ASCII words are runs of a-z and 0-9. Emoji are words.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import regex

_APART = r"\p{lb=SA}\p{Han}\p{Hangul}"
_LETTERS = r"\p{L}\p{M}\p{N}"
_KANA, _PARTICLES = r"\p{Hiragana}ー", "をはがのに"


def _pattern(letters: str) -> regex.Pattern[str]:
    """Return the pattern of a word in a text in its normal form (`bare`)."""
    return regex.compile(
        rf"""
        [a-z0-9]+ (?![{letters}+\#])                                  # soon found: most of English
        | (?<![{letters}]) (?:[a-z]\# | [a-z]+\+\+) (?![a-z_+\#])       # names: C#, C++
        | [{_PARTICLES}] | (?=\p{{Hiragana}}) [[{_KANA}]--[{_PARTICLES}]]+
        | \p{{Hangul}} \p{{M}}*
        | \p{{RI}}{{2}} | \p{{Emoji_Presentation}}                          # flags, emoji
        | [{letters}]+? (?: \b | (?=\p{{Hangul}}) | (?![{letters}]) )      # Unicode's words
        """,
        regex.VERBOSE | regex.VERSION1 | regex.WORD,
    )


_WORD = _pattern(_LETTERS)
_TERM = _pattern(_LETTERS + "_")
_IS_APART = regex.compile(rf"(?V1)[{_APART}]")
_COMPLEX = regex.compile(r"\p{lb=SA}")
_UNSPACED = regex.compile(rf"(?V1)[{_APART}\p{{Hiragana}}\p{{Katakana}}]")

_IGNORED = regex.compile(r"[\p{Default_Ignorable_Code_Point}ـ]")  # joiners, soft hyphen, tatweel
_SAME = regex.compile(r"[^\p{dt=Super}\p{dt=Sub}\p{dt=Fraction}\p{dt=Circle}]+")  # x² is not x2
_POINTS = regex.compile(
    r"(?V1)[[\p{scx=Arab}\p{scx=Hebr}]&&\p{Mn}]|(?<=\p{Cyrillic})[\u0300\u0301]"
)
_DIGIT = regex.compile(r"(?V1)[\p{Nd}--[0-9]]")
_UNMARKED = str.maketrans("ёأإآٱیىکıάέήίόύώ", "еااااييكiαεηιουω")


def fold(text: str) -> str:
    """Return a text without what makes it no other one: case, width, forms of the same letter.

    That is Unicode's NFKC_Casefold, but for raised and lowered characters, fractions and circled
    numbers, which stay, and with Turkish İ as i and without the Arabic letter stretcher.
    """
    if text.isascii():
        return text.casefold()
    shown = _same(_IGNORED.sub("", _same(text)).casefold())
    return shown.replace("i̇", "i").replace("♯", "#")


def bare(text: str) -> str:
    """Return a folded text without the marks that readers can do without.

    Those are vowel points in Arabic and Hebrew, stress in Cyrillic and Greek, and what tells ё from
    е, the forms of alef, yeh and kaf, and the dotless i; digits of any script are 0 to 9.
    """
    if text.isascii():
        return text.casefold()
    plain = _POINTS.sub("", fold(text)).translate(_UNMARKED)
    digits: str = _DIGIT.sub(lambda found: _digit(found[0]), plain)
    return digits


def words(text: str) -> list[str]:
    """Return the words and numbers of a text, in one form each."""
    found: list[str] = _WORD.findall(bare(text))
    return found


def terms(text: str) -> list[str]:
    """Return what a text is found by: its words, and pairs of those that are one character.

    Single characters stand in too many texts. Here ``_`` is a letter, as names have it.
    """
    found = [(*one.span(), one[0]) for one in _TERM.finditer(bare(text))]
    return list(_paired(found))


def spans(text: str) -> list[tuple[int, int]]:
    """Return where the words of a folded text begin and end."""
    return [found.span() for found in _WORD.finditer(text)]


def size(found: Sequence[str]) -> float:
    """Return how long words are together, measured in words of a script that writes spaces.

    Two ideographs or Korean syllables count as one word, as do three clusters of Thai, Lao, Khmer
    and Burmese: about what their translations need.
    """
    return sum(map(_sixths, found)) / 6


def runs(found: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return all runs of words that have just reached the size ``n``."""
    sums = [0, *accumulate(map(_sixths, found))]
    ends = (bisect_left(sums, sums[start] + 6 * n) for start in range(len(found)))
    return [tuple(found[start:end]) for start, end in enumerate(ends) if end < len(sums)]


def cut(text: str, most: int) -> Iterator[str]:
    """Yield a text in pieces of ``most`` words, each on one line.

    It is cut where there is space, and between characters that are words of their own.
    """
    piece, room = "", 6 * most
    for part, space, weight in _parts(unicodedata.normalize("NFC", text)):
        if piece and weight > room:
            yield piece
            piece, room = "", 6 * most
        piece += (space if piece else "") + part
        room -= weight
    if piece:
        yield piece


def _digit(character: str) -> str:
    """Return a digit as one of 0 to 9, or as it is where this Python's Unicode is too old."""
    return str(unicodedata.digit(character, character))


def _same(text: str) -> str:
    shown: str = _SAME.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return shown


def _paired(found: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    """Yield words, those of one character with the next one if the two touch."""
    touches = [
        end == start and _is_apart(one) and _is_apart(other)
        for (_, end, one), (start, _, other) in pairwise(found)
    ] + [False]
    for here, (_, _, word) in enumerate(found):
        if touches[here]:
            yield word + found[here + 1][2]
        elif not touches[here - 1]:
            yield word


@lru_cache(maxsize=1 << 16)
def _is_apart(word: str) -> bool:
    return not word.isascii() and _IS_APART.match(word) is not None


@lru_cache(maxsize=1 << 16)
def _sixths(word: str) -> int:
    if not _is_apart(word):
        return 6
    return 2 if _COMPLEX.match(word) else 3


def _parts(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield what a text may be cut into, the space before it, and its size in sixths of a word."""
    for token in text.split():
        found = list(_WORD.finditer(token)) if _UNSPACED.search(token) else []
        starts = [0, *(word.start() for word in found[1:]), len(token)]
        weights = [_sixths(word[0]) for word in found] or [6]
        for start, end, weight in zip(starts, starts[1:], weights, strict=False):
            yield token[start:end], "" if start else " ", weight
