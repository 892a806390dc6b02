"""Which rows differ between two settings, and at which token they part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]


class Parting(NamedTuple):
    """Where a row parts from the same row of another setting.

    Attributes:
        call: Which of the calls it belongs to.
        row: Its number in the call.
        place: The first of its new tokens that differs.
        tokens: This token in either setting; ``None`` if no token does.
    """

    call: int
    row: int
    place: int
    tokens: tuple[int, int] | None


def kind_of(call: Json) -> str:
    """Return what the rows of a call are."""
    return f"{call['stage']}, {'sampled' if call['sampling'] else 'greedy'}"


def partings(
    mine: Sequence[Sequence[Json]], reference: Sequence[Sequence[Json]]
) -> Iterator[Parting]:
    """Yield where rows part from those of the reference, call by call."""
    for call, (rows, others) in enumerate(zip(mine, reference, strict=True)):
        for number, (row, other) in enumerate(zip(rows, others, strict=True)):
            if _bytes(row) != _bytes(other):
                yield Parting(call, number, *_parted(row["tokens"], other["tokens"]))


def _bytes(row: Json) -> Json:
    """Return what data is made of: all but how near another token came."""
    return {key: value for key, value in row.items() if key != "margin"}


def _parted(mine: Sequence[int], other: Sequence[int]) -> tuple[int, tuple[int, int] | None]:
    for place, pair in enumerate(zip(mine, other)):  # noqa: B905 (one of them may end first)
        if pair[0] != pair[1]:
            return place, pair
    return min(len(mine), len(other)), None


def counted(calls: Sequence[Json], parted: Sequence[Parting]) -> dict[str, Json]:
    """Return how many rows there are and how many are the same, by what they are."""
    found: dict[str, Json] = {}
    for number, call in enumerate(calls):
        rows, differ = len(call["prompts"]), sum(one.call == number for one in parted)
        counts = found.setdefault(kind_of(call), {"rows": 0, "same": 0})
        counts["rows"] += rows
        counts["same"] += rows - differ
    return {
        kind: {**counts, "share": counts["same"] / counts["rows"]} for kind, counts in found.items()
    }
