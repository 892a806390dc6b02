"""Single samples, token by token, each in the colour of its strongest expert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from selfmoe.reporting.html.routing import Legend, expert_legend
from selfmoe.reporting.palette import style_class
from selfmoe.store.cells import Json

Traces = Mapping[str, Mapping[str, Sequence[Json]]]

BUDGET = 12_000
"""Tokens a page shows at the most; beyond that, every benchmark shows one sample, then fewer."""

NAMED = 3
"""Experts named in the tooltip of a token."""


class Token(NamedTuple):
    """A token: its text, the CSS class of its strongest expert, that one's weight, a tooltip."""

    text: str
    style: str
    weight: str
    title: str


class TracedSample(NamedTuple):
    """A sample: its prompt and its answer as tokens; ``cut`` says what is left out in front."""

    name: str
    right: str
    cut: int
    prompt: list[Token]
    answer: list[Token]


class Traced(NamedTuple):
    """The samples of one system, by benchmark."""

    system: str
    experts: list[Legend]
    benchmarks: list[tuple[str, list[TracedSample]]]


def traced_systems(details: Json) -> list[Traced]:
    """Return the samples that were traced, as many as a page can hold."""
    chosen = _within_budget(details["traces"])
    found = []
    for system, pairs in groupby(chosen, key=lambda entry: entry[0]):
        rows = [(benchmark, row) for _, benchmark, row in pairs]
        names = rows[0][1]["experts"]
        benchmarks = [
            (benchmark, [_trace(row) for _, row in group])
            for benchmark, group in groupby(rows, key=lambda pair: pair[0])
        ]
        found.append(Traced(system, expert_legend(names), benchmarks))
    return found


def _within_budget(traces: Traces) -> list[tuple[str, str, Json]]:
    """Return (system, benchmark, row): first samples before second ones, until the page is full."""
    entries = [
        (number, system, benchmark, row)
        for system, benchmarks in traces.items()
        for benchmark, rows in benchmarks.items()
        for number, row in enumerate(rows)
    ]
    left = BUDGET
    kept: set[int] = set()
    for index, entry in sorted(enumerate(entries), key=lambda pair: pair[1][0]):
        left -= len(entry[3]["tokens"])
        if left >= 0 or not kept:
            kept.add(index)
    return [entry[1:] for index, entry in enumerate(entries) if index in kept]


def _trace(row: Json) -> TracedSample:
    tokens = list(_tokens(row))
    start = row["prompt"]
    right = {1.0: "right", 0.0: "wrong"}.get(row["score"], f"score {row['score']:.2f}")
    return TracedSample(str(row["id"]), right, row["cut"], tokens[:start], tokens[start:])


def _tokens(row: Json) -> Iterator[Token]:
    names = row["experts"]
    for text, weights in zip(row["tokens"], row["weights"], strict=False):
        order = sorted(range(len(weights)), key=lambda i: -weights[i])
        said = [f"{names[i]} {weights[i]:.2f}" for i in order[:NAMED] if weights[i] > 0]
        best = order[0]
        style = style_class(best) if weights[best] > 0 else "none"
        title = " · ".join(said) or "no expert"
        yield Token(text, style, f"{min(1.0, weights[best]):.2f}", title)
