"""Where a routed system sends its tokens, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from selfmoe.reporting.numbers import COLLAPSED, balance, collapsed, decimal, percent
from selfmoe.reporting.palette import style_class
from selfmoe.store.cells import Json

PART_NAMES = {"response": "answer tokens", "prompt": "prompt tokens", "all": "all tokens"}


class Heat(NamedTuple):
    """One value of a heat map: a share in 0..1, as percent, strongest of its group or not."""

    share: str
    percent: str
    title: str
    top: bool


class Map(NamedTuple):
    """A heat map: a head, named rows of values, and one remark a row (may be none)."""

    title: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, list[Heat], str]]


class Legend(NamedTuple):
    """An expert and its CSS class."""

    name: str
    style: str


class Routed(NamedTuple):
    """One routed system: who its experts are, where tokens go by benchmark and by block."""

    name: str
    warning: str
    experts: list[Legend]
    benchmarks: list[Map]
    blocks: list[tuple[str, list[Map]]]


def routed_systems(details: Json) -> list[Routed]:
    """Return every system that routes tokens."""
    return [
        Routed(
            name=system,
            warning=_collapse(details["blocks"][system], names),
            experts=expert_legend(names),
            benchmarks=_by_benchmark(details["blocks"][system], names),
            blocks=[
                (benchmark, [_by_block(benchmark, part, parts[part], names) for part in _of(parts)])
                for benchmark, parts in details["blocks"][system].items()
            ],
        )
        for system, names in details["experts"].items()
    ]


def _collapse(blocks: Mapping[str, Json], names: Sequence[str]) -> str:
    """Return a warning if one expert gets nearly everything, whatever is asked."""
    expert = collapsed(
        {
            benchmark: dict(zip(names, shares(parts[_of(parts)[0]]), strict=True))
            for benchmark, parts in blocks.items()
        }
    )
    if expert is None:
        return ""
    return f"The router has collapsed: {expert} gets over {percent(COLLAPSED, 0)} % everywhere."


def expert_legend(names: Sequence[str]) -> list[Legend]:
    """Return experts with their CSS classes."""
    return [Legend(name, style_class(index)) for index, name in enumerate(names)]


def _of(parts: Mapping[str, Any]) -> list[str]:
    """Return the parts worth showing: answers and prompts apart where they are known apart."""
    known = [part for part in ("response", "prompt") if part in parts]
    return known or ["all"]


def shares(matrix: Sequence[Sequence[float]]) -> list[float]:
    """Return each expert's share of all weight, from mean weights ``[block][expert]``."""
    sums = [sum(column) for column in zip(*matrix, strict=True)]
    total = sum(sums)
    return [value / total if total else 0.0 for value in sums]


def _by_benchmark(blocks: Mapping[str, Json], names: Sequence[str]) -> list[Map]:
    maps = []
    for part in ("response", "prompt", "all"):
        known = {name: parts[part] for name, parts in blocks.items() if part in _of(parts)}
        if known:
            rows = {
                benchmark: dict(zip(names, shares(matrix), strict=True))
                for benchmark, matrix in known.items()
            }
            maps.append(map_of(PART_NAMES[part].capitalize(), rows))
    return maps


def map_of(title: str, rows: Mapping[str, Mapping[str, float]]) -> Map:
    """Return a heat map of shares, with the balance of each row.

    Args:
        title: What it shows.
        rows: Benchmark -> expert -> its share of all weight, the experts always the same.
    """
    names = list(next(iter(rows.values())))
    values = {row: [shares[name] for name in names] for row, shares in rows.items()}
    found = [(row, _heats(v, names), decimal(balance(v), 2)) for row, v in values.items()]
    return Map(title, "benchmark", names, found)


def _heats(values: Sequence[float], names: Sequence[str]) -> list[Heat]:
    top = max(values)
    return [
        _heat(value, f"{name}: {percent(value)} %", value == top > 0)
        for name, value in zip(names, values, strict=True)
    ]


def _by_block(
    benchmark: str, part: str, matrix: Sequence[Sequence[float]], names: Sequence[str]
) -> Map:
    """Return experts by blocks; the values of one block add up to 100 %."""
    by_block = [shares([row]) for row in matrix]
    rows = []
    for index, name in enumerate(names):
        heats = [
            _heat(
                values[index],
                f"block {block}, {name}: {percent(values[index])} %",
                values[index] == max(values) > 0,
            )
            for block, values in enumerate(by_block)
        ]
        rows.append((name, heats, ""))
    columns = [str(block) for block in range(len(matrix))]
    return Map(PART_NAMES[part].capitalize(), "block", columns, rows)


def _heat(value: float, title: str, top: bool) -> Heat:
    return Heat(decimal(value), percent(value, 0), title, top)
