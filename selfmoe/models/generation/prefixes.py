"""Which texts begin alike, so that what they share is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Group:
    """Texts that begin alike.

    Attributes:
        prefix: How many tokens at the front are the same in all of them; may be all of a text.
        rows: Their numbers, in ascending order.
    """

    prefix: int
    rows: tuple[int, ...]


def groups(rows: Rows, least: int = 32, rows_at_least: int = 4) -> list[Group]:
    """Return texts in groups that share a prefix; every text is in one of them.

    Texts leave a group for one with a longer prefix where that is ``least`` tokens longer, has
    ``rows_at_least`` texts, and saves more tokens than reading the shorter prefix once more costs.
    What leaves no group stays together, be it a single text; texts that share too little are a
    group without a prefix.

    Args:
        rows: The tokens of each text.
        least: Tokens that a prefix must be longer for a group of its own; at least 1.
        rows_at_least: Texts that such a group must have; at least 2.

    Returns:
        The groups, by their first texts.
    """
    rules = _Rules(rows, least, rows_at_least)
    made: list[Group] = []
    order = sorted(range(len(rows)), key=lambda number: tuple(rows[number]))
    left = [(0, order)] if order else []
    while left:
        prefix, numbers = left.pop()
        apart, together = rules.part(prefix, numbers)
        left += apart
        if together:
            made.append(Group(prefix, tuple(sorted(together))))
    return sorted(made, key=lambda group: group.rows[0])


@dataclass(frozen=True, slots=True)
class _Rules:
    """When texts leave a group; ``numbers`` are of texts in lexicographic order."""

    rows: Rows
    least: int
    rows_at_least: int

    def part(
        self, prefix: int, numbers: list[int]
    ) -> tuple[list[tuple[int, list[int]]], list[int]]:
        """Return what leaves a group, each with its own prefix, and the texts that stay."""
        apart: list[tuple[int, list[int]]] = []
        together: list[int] = []
        left = [numbers]
        while left:
            some = left.pop()
            shared = _common(self.rows[some[0]], self.rows[some[-1]])
            if self._leaves(prefix, shared, len(some)):
                apart.append((shared, some))
            elif len(some) < self.rows_at_least:
                together += some
            else:
                together += [number for number in some if len(self.rows[number]) == shared]
                left += self._branches(shared, some)
        return apart, together

    def _leaves(self, prefix: int, shared: int, count: int) -> bool:
        more = shared - prefix
        enough = more >= self.least and count >= self.rows_at_least
        return enough and more * (count - 1) > prefix

    def _branches(self, shared: int, numbers: list[int]) -> Iterator[list[int]]:
        """Yield the texts that go on behind what they all share, by the token they go on with."""
        on = [number for number in numbers if len(self.rows[number]) > shared]
        for _, alike in groupby(on, key=lambda number: self.rows[number][shared]):
            yield list(alike)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens at the front of two texts are the same."""
    pairs = enumerate(zip(one, other))  # noqa: B905 (one of them may end first)
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
