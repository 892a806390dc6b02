"""Texts in groups that begin alike: all of them, rightly, and as far apart as it pays."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from selfmoe.models.generation.prefixes import Group, groups

ROWS = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=24)
LEAST, ROWS_AT_LEAST = st.integers(1, 5), st.integers(2, 4)


def read(rows: list[list[int]], found: list[Group]) -> int:
    """Return how many tokens are read if each prefix is read once."""
    return sum(g.prefix + sum(len(rows[n]) - g.prefix for n in g.rows) for g in found)


@given(ROWS, LEAST, ROWS_AT_LEAST)
def test_every_text_is_in_one_group_and_begins_as_the_others_do(
    rows: list[list[int]], least: int, count: int
) -> None:
    found = groups(rows, least, count)
    assert sorted(chain.from_iterable(g.rows for g in found)) == list(range(len(rows)))
    for group in found:
        assert list(group.rows) == sorted(group.rows)
        assert len({tuple(rows[n][: group.prefix]) for n in group.rows}) == 1
        assert all(len(rows[n]) >= group.prefix for n in group.rows)
        assert group.prefix == 0 or group.prefix >= least
    assert [g.rows[0] for g in found] == sorted(g.rows[0] for g in found)


@given(ROWS, LEAST, ROWS_AT_LEAST)
def test_nothing_more_is_worth_a_group_of_its_own(
    rows: list[list[int]], least: int, count: int
) -> None:
    for group in groups(rows, least, count):
        for longer in range(group.prefix + least, 13):
            fronts = [tuple(rows[n][:longer]) for n in group.rows if len(rows[n]) >= longer]
            alike = max(map(fronts.count, fronts), default=0)
            saved = (longer - group.prefix) * (alike - 1)
            assert alike < count or saved <= group.prefix


@given(ROWS, LEAST, ROWS_AT_LEAST, st.integers(0, 12))
def test_groups_never_cost_more_than_what_all_share_saves(
    rows: list[list[int]], least: int, count: int, shared: int
) -> None:
    found = groups(rows, least, count)
    assert read(rows, found) <= sum(map(len, rows))
    headed = [[7] * shared + row for row in rows]
    once = read(headed, [Group(shared, tuple(range(len(rows))))]) if rows else 0
    if shared >= least and len(rows) >= count:
        assert read(headed, groups(headed, least, count)) <= once


def test_subjects_with_headers_of_their_own_part_whatever_order_they_come_in() -> None:
    headers = {"law": [1, *[2] * 200], "art": [1, *[3] * 90]}
    asked = ["law", "art"] * 5
    rows = [[*headers[name], 9, n, n] for n, name in enumerate(asked)]
    law, art = groups(rows)
    assert law == Group(len(headers["law"]) + 1, (0, 2, 4, 6, 8))
    assert art == Group(len(headers["art"]) + 1, (1, 3, 5, 7, 9))


def test_a_little_more_in_common_is_not_worth_reading_a_long_header_again() -> None:
    header = list(range(1000))
    rows = [*([*header, *[5] * 40, n] for n in range(4)), *([*header, 6, n] for n in range(3))]
    assert groups(rows) == [Group(1000, tuple(range(7)))]
    many = [*([*header, *[5] * 40, n] for n in range(40)), [*header, 6]]
    assert groups(many) == [Group(1040, tuple(range(40))), Group(1000, (40,))]


def test_texts_that_share_too_little_are_one_group_without_a_prefix() -> None:
    assert groups([[n] * 50 for n in range(5)]) == [Group(0, tuple(range(5)))]
    assert groups([[1] * 50] * 3) == [Group(0, (0, 1, 2))]
    assert groups([]) == []


def test_a_long_chain_of_texts_that_begin_each_other_is_no_deep_recursion() -> None:
    found = groups([[0] * n for n in range(1500)])
    assert sum(len(group.rows) for group in found) == 1500
