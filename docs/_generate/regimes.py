"""Tables of the regimes in which experts and one adapter meet, from the committed results."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, stdev

from _generate.markdown import code, table
from _generate.seedling import averages, read
from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.model import RunResults, SystemScores
from selfmoe.reporting.numbers import margin, percent, points
from selfmoe_base_seedling.regimes import ORDERS

MIXTURES = {"sequence": "mixse", "ridge": "ridge"}
"""Routers that take in an expert by statistics of its own data -> what the preset calls them."""


def arriving() -> str:
    """Return, by order of arrival, one LoRA trained on and on beside extended mixtures."""
    results = read("arriving")
    rows = []
    for number, order in enumerate(ORDERS, start=1):
        one = _system(results, f"sequential-{number}")
        row = [", ".join(order), _average(one)]
        for label in MIXTURES.values():
            mixture = _system(results, f"{label}-{number}")
            row += [_average(mixture), _less(results, mixture, one)]
        rows.append(row)
    head = ["order", code("sequential")]
    for router in MIXTURES:
        head += [code(router), f"less {code('sequential')}"]
    return table(head, rows)


def at_once(name: str, systems: tuple[str, ...]) -> str:
    """Return systems made of all data or without any, with their averages.

    Args:
        name: The file in ``results/``, without its ending.
        systems: Which.
    """
    results = read(name)
    rows = [[code(one), _average(_system(results, one))] for one in systems]
    return table(["system", "average"], rows)


def _system(results: RunResults, name: str) -> SystemScores:
    return next(system for system in results.systems if system.name == name)


def _average(system: SystemScores) -> str:
    return f"{percent(system.average)}{margin(system.average_low, system.average_high)}"


def _less(results: RunResults, one: SystemScores, other: SystemScores) -> str:
    """Return the difference of two averages with its interval over the root seeds."""
    changes = [a - b for a, b in zip(averages(one), averages(other), strict=True)]
    stderr = stdev(changes) / sqrt(len(changes))
    half, _ = confident(fmean(changes), stderr, len(changes) - 1, results.confidence)
    low, high = fmean(changes) - half, fmean(changes) + half
    return f"{points(fmean(changes), 0.0)} [{points(low, 0.0)}, {points(high, 0.0)}]"
