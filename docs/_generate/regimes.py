"""Tables of the regimes in which experts and one adapter meet, from the committed results."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from _generate.markdown import code, table
from _generate.seedling import averages, read
from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.model import RunResults, SystemScores
from selfmoe.reporting.numbers import margin, percent, points
from selfmoe_base_seedling.regimes import ORDERS

Difference = tuple[float, float, float]
"""A difference and the ends of its interval, as shares."""


def arriving() -> str:
    """Return, by order of arrival, one LoRA trained on and on beside extended mixtures."""
    results = read("arriving")
    rows = []
    for number, order in enumerate(ORDERS, start=1):
        one = f"sequential-{number}"
        row = [", ".join(order), _average(_system(results, one))]
        for label in (f"mixse-{number}", f"ridge-{number}"):
            row.append(_average(_system(results, label)))
            row.append(_told(_less(results, label, one)))
        rows.append(row)
    head = ["order", code("sequential")]
    for router in ("sequence", "ridge"):
        head += [code(router), f"less {code('sequential')}"]
    return table(head, rows)


def arrivals() -> str:
    """Return in how many of these comparisons the mixture is ahead, in one sentence."""
    results = read("arriving")
    orders = range(1, len(ORDERS) + 1)
    pairs = [(f"{m}-{n}", f"sequential-{n}") for m in ("mixse", "ridge") for n in orders]
    plain = sum(_less(results, *pair)[1] > 0 for pair in pairs)
    corrected = sum(_less(results, *pair, tests=len(pairs))[1] > 0 for pair in pairs)
    return (
        f"Of these {len(pairs)} differences {plain} have an interval above 0, {corrected} also "
        "with Bonferroni's correction for their number.\n"
    )


def at_once() -> str:
    """Return systems of the same data made of all of it at once, or without any."""
    results = read("arriving")
    names = ("instance", "arrow", "mean", "ties", "dare")
    rows = [[code(name), _average(_system(results, name))] for name in names]
    return table(["system", "average"], rows)


def _system(results: RunResults, name: str) -> SystemScores:
    return next(system for system in results.systems if system.name == name)


def _average(system: SystemScores) -> str:
    return f"{percent(system.average)}{margin(system.average_low, system.average_high)}"


def _less(results: RunResults, one: str, other: str, *, tests: int = 1) -> Difference:
    """Return one system's average less another's, over the root seeds.

    Args:
        results: Where they are.
        one: The one system.
        other: The other.
        tests: Number of comparisons that the interval is to hold for together (Bonferroni).
    """
    pairs = zip(averages(_system(results, one)), averages(_system(results, other)), strict=True)
    level = 1 - (1 - results.confidence) / tests
    return _interval([a - b for a, b in pairs], level)


def _interval(changes: Sequence[float], level: float) -> Difference:
    """Return the mean of the root seeds' differences with its interval (Student's t)."""
    stderr = stdev(changes) / sqrt(len(changes))
    half, _ = confident(fmean(changes), stderr, len(changes) - 1, level)
    return fmean(changes), fmean(changes) - half, fmean(changes) + half


def _told(found: Difference) -> str:
    difference, low, high = (points(value, 0.0) for value in found)
    return f"{difference} [{low}, {high}]"
