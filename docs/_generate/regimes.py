"""Tables of the regimes in which experts and one adapter meet, from the committed results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev

from _generate.markdown import code, table
from _generate.seedling import averages, read
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import System
from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.model import RunResults, SystemScores
from selfmoe.reporting.numbers import margin, percent, points
from selfmoe_base_seedling.regimes import ORDERS

JOINT = {
    "conflicting-topic": "conflicting, told by topic",
    "conflicting-thing": "conflicting, told by a thing",
    "conflicting-name": "conflicting, told by a name",
    "two-domains": "two domains",
}
"""Files in ``results/`` of regimes with all data at once -> what the page calls them."""

SIZES = {"low-rank-1": "rank 1", "low-rank-2": "rank 2"}
"""The mini domains with smaller experts -> what the page calls it."""

MANY = {"many": "15 experts"}
"""The mini domains split by family -> what the page calls it."""

MIXTURES = ("mixse", "ridge", "sequence")
"""Mixtures that are told nothing but the prompt."""

Difference = tuple[float, float, float]
"""A difference and the ends of its interval, as shares."""

OTHERS = ("oracle", "instance", "sequential", "mean", "ties", "dare")
REFERENCE = "instance"


def scores(regimes: Mapping[str, str]) -> str:
    """Return the averages of every regime's systems.

    Args:
        regimes: Files in ``results/`` -> what the page calls them.
    """
    columns = [read(name) for name in regimes]
    rows = [["experts at home", *(percent(fmean(_home(one))) for one in columns)]]
    for name in (*MIXTURES, *OTHERS):
        rows.append([code(name), *(_average(_system(one, name)) for one in columns)])
    return table(["system", *regimes.values()], rows)


def differences(regimes: Mapping[str, str]) -> str:
    """Return each mixture less instance merging in every regime, over the root seeds.

    Args:
        regimes: Files in ``results/`` -> what the page calls them.
    """
    rows = []
    for system in (*MIXTURES, "oracle"):
        told = (_less(read(name), system, REFERENCE) for name in regimes)
        rows.append([code(system), *map(_told, told)])
    return table([f"less {code(REFERENCE)}", *regimes.values()], rows)


def tally() -> str:
    """Return in how many comparisons a mixture is above or below instance merging."""
    regimes = {**JOINT, **SIZES, **MANY}
    tried = [(name, system) for name in regimes for system in MIXTURES]
    plain = [_less(read(name), system, REFERENCE) for name, system in tried]
    corrected = [_less(read(name), system, REFERENCE, tests=len(tried)) for name, system in tried]
    return (
        f"{len(tried)} comparisons of a mixture with `{REFERENCE}` ({len(MIXTURES)} mixtures, "
        f"{len(regimes)} regimes): {_above(plain)} have an interval above 0 and {_below(plain)} "
        f"one below; with Bonferroni's correction for their number {_above(corrected)} and "
        f"{_below(corrected)}.\n"
    )


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


def crossed() -> str:
    """Return the scores of tasks that need two domains, by system, less the best expert's."""
    results = read("two-domains")
    asked = [name for name in results.systems[0].scores if name.endswith("/crossed")]
    rows = [row for name in asked for row in _crossed(results, name)]
    return table(["benchmark", "system", "score", "less the best expert"], rows)


def _crossed(results: RunResults, asked: str) -> Iterator[list[str]]:
    experts = [system for system in results.systems if system.kind == "expert"]
    best = max(experts, key=lambda system: fmean(_values(system, asked)))
    for system in (one for one in results.systems if one not in experts or one is best):
        values, less = _values(system, asked), "–"
        if system.kind in ("router", "merge"):
            changes = [a - b for a, b in zip(values, _values(best, asked), strict=True)]
            less = _told(_interval(changes, results.confidence))
        yield [asked, code(system.name), percent(fmean(values)), less]


def _system(results: RunResults, name: str) -> SystemScores:
    return next(system for system in results.systems if system.name == name)


def _average(system: SystemScores) -> str:
    return f"{percent(system.average)}{margin(system.average_low, system.average_high)}"


def _home(results: RunResults) -> Iterator[float]:
    """Yield every expert's score on its own domain's benchmark."""
    for system in results.systems:
        if system.kind == "expert":
            home = BenchmarkName(System(system.name, system.kind).expert, "mini")
            yield fmean(_values(system, str(home)))


def _values(system: SystemScores, name: str) -> Sequence[float]:
    """Return a system's scores on a benchmark, by root seed; the base has the same in each."""
    score = system.scores[name]
    return score.by_seed or [score.value or 0.0]


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


def _above(found: Iterable[Difference]) -> int:
    return sum(low > 0 for _, low, _ in found)


def _below(found: Iterable[Difference]) -> int:
    return sum(high < 0 for _, _, high in found)
