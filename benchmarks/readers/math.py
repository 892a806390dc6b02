"""Reads the tasks of the domain `math`: says the right answer, or that there is none."""

from __future__ import annotations

import re
from itertools import pairwise

from readers.rules import Rules, Truth, numbers

_RULES = Rules()
_CLAUSE = re.compile(
    r"(?:,| and)(?: then)? (?:gets (?P<more>\d{1,6}) more|gives (?P<less>\d{1,6}) to (?P<to>\w+))"
)
_HOUR, _DAY = 60, 24 * 60


def read(text: str) -> Truth | None:
    """Return the right answer to a task; None if it makes no sense or is no task of the domain."""
    return _RULES.read(text)


@_RULES.add(
    "get", "Today {one} has {start#} {thing} and gets {more#} more. How many are there now?"
)
def _get(found: re.Match[str]) -> str | None:
    start, more = numbers(found, "start more")
    return str(start + more)


@_RULES.add(
    "give", "Today {one} has {start#} {thing} and gives {less#} to {two}. How many are left?"
)
def _give(found: re.Match[str]) -> str | None:
    start, less = numbers(found, "start less")
    return str(start - less) if less <= start and found["one"] != found["two"] else None


@_RULES.add(
    "give-and-get",
    "Today {one} has {start#} {thing}{rest*}. How many are there now?",
    "Today {one} has {start#} {thing}{rest*}. How many are left?",
)
def _things(found: re.Match[str]) -> str | None:
    amount, rest = int(found["start"]), found["rest"]
    while clause := _CLAUSE.match(rest):
        amount += int(clause["more"] or 0) - int(clause["less"] or 0)
        if amount < 0 or clause["to"] == found["one"]:
            return None
        rest = rest[clause.end() :]
    return None if rest else str(amount)


@_RULES.add("boxes", "There are {a#} {box} with {b#} {thing} in each. How many {thing} are there?")
def _boxes(found: re.Match[str]) -> str | None:
    a, b = numbers(found, "a b")
    return str(a * b)


@_RULES.add(
    "groups",
    "There are {a#} {box} with {b#} {thing} each and {c#} {bag} with {d#} each. "
    "How many {thing} are there?",
)
def _groups(found: re.Match[str]) -> str | None:
    a, b, c, d = numbers(found, "a b c d")
    return str(a * b + c * d)


@_RULES.add(
    "split", "Here {people#} {who} share {total#} {thing} equally. How many does each one get?"
)
def _split(found: re.Match[str]) -> str | None:
    people, total = numbers(found, "people total")
    return str(total // people) if people and total % people == 0 else None


@_RULES.add(
    "together",
    "Today {one} has {few#} {thing} and {two} has {more#} more than {one}. "
    "How many do they have together?",
)
def _together(found: re.Match[str]) -> str | None:
    few, more = numbers(found, "few more")
    return str(few + few + more) if found["one"] != found["two"] else None


@_RULES.add(
    "change",
    "Today {one} buys {count#} {thing} at {price#} dollars each and pays {paid#} dollars. "
    "How many dollars come back?",
)
def _change(found: re.Match[str]) -> str | None:
    count, price, paid = numbers(found, "count price paid")
    return str(paid - count * price) if paid >= count * price else None


@_RULES.add(
    "savings",
    "Today {one} has {start#} dollars and saves {saved#} dollars a week. "
    "How many dollars are there after {weeks#} weeks?",
)
def _savings(found: re.Match[str]) -> str | None:
    start, saved, weeks = numbers(found, "start saved weeks")
    return str(start + saved * weeks)


@_RULES.add(
    "cheaper",
    "One pack of {thing} costs {each#} dollars. A box of {times#} packs is {off#} dollars cheaper "
    "than the packs. What does the box cost?",
)
def _cheaper(found: re.Match[str]) -> str | None:
    each, times, off = numbers(found, "each times off")
    return str(each * times - off) if each * times > off else None


@_RULES.add(
    "distance",
    "Today {one} {way} at {speed#} km an hour for {hours#} hours. How many km is that?",
)
def _distance(found: re.Match[str]) -> str | None:
    speed, hours = numbers(found, "speed hours")
    return str(speed * hours)


@_RULES.add("area", "A {place} is {a#} meters long and {b#} meters wide. What is its area?")
def _area(found: re.Match[str]) -> str | None:
    a, b = numbers(found, "a b")
    return str(a * b)


@_RULES.add("area", "A {place} is {a#} meters long and {b#} meters wide. How long is its border?")
def _border(found: re.Match[str]) -> str | None:
    a, b = numbers(found, "a b")
    return str(2 * (a + b))


@_RULES.add(
    "clock", "The {what} starts at {h#}:{m#} and takes {hours#}:{minutes#}. When does it end?"
)
def _clock(found: re.Match[str]) -> str | None:
    h, m, hours, minutes = numbers(found, "h m hours minutes")
    if h >= 24 or max(m, minutes) >= _HOUR or min(len(found["m"]), len(found["minutes"])) < 2:
        return None
    end = (_HOUR * (h + hours) + m + minutes) % _DAY
    return f"{end // _HOUR}:{end % _HOUR:02}"


@_RULES.add("next", "The row is {row*}. Which number comes next?")
def _next(found: re.Match[str]) -> str | None:
    if not re.fullmatch(r"-?\d{1,6}(, -?\d{1,6}){2,}", found["row"]):
        return None
    row = [int(number) for number in found["row"].split(", ")]
    steps = {b - a for a, b in pairwise(row)}
    return str(row[-1] + steps.pop()) if len(steps) == 1 else None


@_RULES.add(
    "half",
    "Today {one} is {age#} years old and {two} is half as old. How old is {who} in {years#} years?",
)
def _half(found: re.Match[str]) -> str | None:
    age, years = numbers(found, "age years")
    ages = {found["one"]: age, found["two"]: age // 2}
    if found["who"] not in ages or len(ages) < 2 or age % 2:
        return None
    return str(ages[found["who"]] + years)
