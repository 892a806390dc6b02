"""What a run made and what it cost, ready to be shown: data, fits, times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from selfmoe.reporting.model import DataYield, RunResults
from selfmoe.reporting.numbers import count, decimal, percent, position
from selfmoe.reporting.terminal.progress import duration
from selfmoe.store.cells import Json

STEPS = 300
"""Points of a loss curve at the most; longer ones are averaged over neighbouring steps."""


class Funnel(NamedTuple):
    """What became of one domain's generated texts: bars and counts from written to kept."""

    domain: str
    asked: str
    steps: list[tuple[str, str, str]]
    reasons: list[tuple[str, str, str]]
    share: str
    passages: str


class Curve(NamedTuple):
    """The losses of one fit: points of a polyline in a box of 100 by 100, and the scale."""

    name: str
    points: str
    top: str
    steps: str
    first: str
    last: str


class FitCost(NamedTuple):
    """What one expert or composition cost."""

    name: str
    examples: str
    steps: str
    tokens: str
    trained: str
    added: str
    discarded: str
    time: str


def funnels(results: RunResults, details: Json) -> list[Funnel]:
    """Return one funnel a domain and root seed."""
    asked = details["config"]["brainstorm"]["n"]
    several = len(results.data) > 1
    return [
        _funnel(f"{domain}, seed {seed}" if several else domain, counts, asked)
        for seed, domains in results.data.items()
        for domain, counts in domains.items()
    ]


def _funnel(name: str, counts: DataYield, asked: int) -> Funnel:
    whole = max(1, counts.written, counts.instructions, asked)
    stages = {"written": counts.written, "parsed": counts.instructions, "kept": counts.kept}
    steps = [(label, count(n), position(n / whole)) for label, n in stages.items()]
    parsing, curating = counts.dropped.brainstorm, counts.dropped.curate
    reasons = [
        (why, count(number), stage)
        for numbers, stage in ((parsing, "while parsing"), (curating, "while curating"))
        for why, number in sorted(numbers.items(), key=lambda pair: -pair[1])
    ]
    share = percent(counts.kept / counts.written, 0) if counts.written else "–"
    passages = count(counts.retrieved.kept) if counts.retrieved else ""
    return Funnel(name, count(asked), steps, reasons, share, passages)


def curves(details: Json) -> list[Curve]:
    """Return the loss curves of everything that was fitted."""
    return [_curve(_name(fit, details), fit["losses"]) for fit in details["fits"] if fit["losses"]]


def _name(fit: Json, details: Json) -> str:
    several = len({other["seed"] for other in details["fits"]}) > 1
    return f"{fit['name']}, seed {fit['seed']}" if several else str(fit["name"])


def thinned(values: Sequence[float], most: int = STEPS) -> list[float]:
    """Return at most ``most`` values, each the mean of an equal stretch of the given ones."""
    if len(values) <= most:
        return list(values)
    edges = [round(index * len(values) / most) for index in range(most + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def _curve(name: str, losses: Sequence[float]) -> Curve:
    values = thinned(losses)
    values = values * 2 if len(values) == 1 else values
    top = max(values) * 1.05 or 1.0
    last = len(values) - 1
    points = [f"{100 * x / last:.2f},{100 - 100 * y / top:.2f}" for x, y in enumerate(values)]
    return Curve(
        name=name,
        points=" ".join(points),
        top=_loss(top),
        steps=count(len(losses)),
        first=_loss(losses[0]),
        last=_loss(losses[-1]),
    )


def _loss(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def costs(details: Json) -> list[FitCost]:
    """Return what each expert and composition cost."""
    return [
        FitCost(
            name=_name(fit, details),
            examples=count(fit["examples"]),
            steps=count(fit["steps"]),
            tokens=count(fit["tokens"]),
            trained=count(fit["trained_parameters"]),
            added=count(fit["added_parameters"]),
            discarded=decimal(fit.get("discarded_energy")),
            time=duration(fit["seconds"]),
        )
        for fit in details["fits"]
    ]


def times(results: RunResults) -> list[tuple[str, str, str]]:
    """Return stage, time and share of the longest stage."""
    seconds = results.seconds
    longest = max(seconds.values(), default=0) or 1
    return [(stage, duration(time), position(time / longest)) for stage, time in seconds.items()]
