"""Reads the tasks of the domain `reasoning`: rows, tables, order and days.

Truth values are in `logic`, things that move in `tracking`.
"""

from __future__ import annotations

import re
from itertools import permutations

from readers import logic, tracking
from readers.rules import Rules, Truth, only
from selfmoe_domain_reasoning.mini import order, rows

_RULES = Rules()
_PLACES = (*rows._PLACES, "sixth", "seventh", "eighth")
_HAS = re.compile(r"(\w+) has (\d{1,6})")
_COUNT = re.compile(r"(\d{1,6}) (\w+)")
_TALLER = re.compile(r"Here (\w+) is (taller|shorter) than (\w+)\. ?")
_KIND_OF = {name: kind for kind, names in rows._KINDS.items() for name in names}
_MAX_NAMES = 6


def read(text: str) -> Truth | None:
    """Return the right answer to a task; None if it makes no sense or is no task of the domain."""
    return _RULES.read(text) or logic.RULES.read(text) or tracking.RULES.read(text)


@_RULES.add(
    "days",
    "Today {who} {does}; it is {day}. What day is {n#} days {way} that?",
    "Today {who} {does}; it is {day}. What day is {n#} day {way} that?",
)
def _days(found: re.Match[str]) -> str | None:
    sign = {"after": 1, "before": -1}.get(found["way"])
    if sign is None or found["day"] not in order._DAYS:
        return None
    return order._DAYS[(order._DAYS.index(found["day"]) + sign * int(found["n"])) % 7]


@_RULES.add("most", "Here {list*} {thing}. Who has the {end}?")
def _most(found: re.Match[str]) -> str | None:
    has = _items(_HAS, found["list"])
    if has is None or found["end"] not in ("most", "fewest"):
        return None
    counts = {name: int(count) for name, count in has}
    if len(counts) < len(set(has)):
        return None
    wanted = (max if found["end"] == "most" else min)(counts.values())
    return only(name for name, count in counts.items() if count == wanted)


@_RULES.add("tallest", "{clues*} Who is the {place}?")
def _tallest(found: re.Match[str]) -> str | None:
    clues = _TALLER.findall(f"{found['clues']} ")
    places = {"tallest": 0, "second": 1, "third": 2, "shortest": -1}
    if _TALLER.sub("", f"{found['clues']} ").strip() or found["place"] not in places:
        return None
    pairs = [(a, b) if word == "taller" else (b, a) for a, word, b in clues]
    names = sorted({name for pair in pairs for name in pair})
    place = places[found["place"]]
    if len(names) > _MAX_NAMES or place >= len(names):
        return None
    fits = [r for r in permutations(names) if all(r.index(a) < r.index(b) for a, b in pairs)]
    return only(row[place] for row in fits)


@_RULES.add("place", "The row is {row*}. What is the {place}?")
def _place(found: re.Match[str]) -> str | None:
    row = _row(found)
    if row is None or found["place"] not in (*_PLACES, "last"):
        return None
    index = -1 if found["place"] == "last" else _PLACES.index(found["place"])
    return row[index] if index < len(row) else None


@_RULES.add("tally", "The row is {row*}. How many are {asked}?")
def _tally(found: re.Match[str]) -> str | None:
    row = _row(found)
    return None if row is None else str(row.count(found["asked"]))


@_RULES.add("counting", "I see {list*}. How many {asked} are there?")
def _counting(found: re.Match[str]) -> str | None:
    seen = _items(_COUNT, found["list"])
    asked = found["asked"]
    if seen is None or not {name for _, name in seen} <= set(_KIND_OF):
        return None
    if asked not in rows._KINDS and asked not in _KIND_OF:
        return None
    return str(sum(int(count) for count, name in seen if asked in (name, _KIND_OF[name])))


@_RULES.add(
    "table", "The table is {table*}. Who has {key}?", "The table is {table*}. Who has {n#}?"
)
def _who(found: re.Match[str]) -> str | None:
    key = found.groupdict().get("key") or found["n"]
    return _cell(found["table"], key, (1, 2), 0)


@_RULES.add("table", "The table is {table*}. Which colour has {key}?")
def _colour(found: re.Match[str]) -> str | None:
    return _cell(found["table"], found["key"], (0,), 1)


@_RULES.add(
    "table",
    "The table is {table*}. Which number has {key}?",
    "The table is {table*}. Which number goes with {key}?",
)
def _number(found: re.Match[str]) -> str | None:
    return _cell(found["table"], found["key"], (0, 1), 2)


def _cell(table: str, key: str, columns: tuple[int, ...], wanted: int) -> str | None:
    """Return a cell of the rows that hold the key, if it is the same in all of them."""
    cells = [row.split() for row in table.split("; ")]
    if any(len(row) != 3 or not row[2].isdigit() or not row[1].isalpha() for row in cells):
        return None
    return only(row[wanted] for row in cells if key in [row[column] for column in columns])


def _row(found: re.Match[str]) -> list[str] | None:
    row: list[str] = found["row"].split(", ")
    return row if len(row) > 1 and all(word.isalpha() for word in row) else None


def _items(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]] | None:
    """Return the groups of every item of "a, b and c"; None if one does not fit."""
    found = [pattern.fullmatch(item) for item in re.split(", | and ", text)]
    pairs = [(item[1], item[2]) for item in found if item]
    return pairs if 1 < len(pairs) == len(found) else None
