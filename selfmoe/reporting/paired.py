"""Differences between systems on the same items: what chance does to both cancels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import Any, Literal

from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.model import Change, Changes, Estimate, Measured, Paired
from selfmoe.store.cells import Cells
from selfmoe.store.files import read_jsonl

Answers = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``system -> benchmark -> item -> values`` of one root seed, target benchmarks only."""

Measure = Literal["score", "lenient"]
"""What items of a run are scored by; logs of others have measures of other names."""


def differences(cells: Cells, level: float) -> Paired | None:
    """Return every system's average less the reference's, measured item by item.

    The reference is what the cells name: of a run, its first composition. With one root seed,
    interval and p speak of the items (the benchmarks' variances of the differences add up; normal),
    with several of the root seeds (Student's t on the seeds' differences).

    Args:
        cells: The run.
        level: How sure the intervals are, 0..1.

    Returns:
        The differences, ``None`` where not both answered the same items, two a benchmark at least;
        ``None`` if there is no reference. Differences without spread have neither interval
        nor p.
    """
    reference = cells.reference
    if reference is None:
        return None
    seeds = [_answers(cells, seed) for seed in cells.seeds]
    others = [system.name for system in cells.systems if system.name != reference]
    systems = {
        name: Measured(
            score=compare(seeds, name, reference, "score", level),
            lenient=compare(seeds, name, reference, "lenient", level),
        )
        for name in others
    }
    return Paired(reference=reference, systems=systems)


def changes(before: Cells, after: Cells, system: str, level: float) -> dict[str, Changes]:
    """Return what became of one system between two states of a run, measured item by item.

    Args:
        before: The one state.
        after: The other.
        system: Name of the system.
        level: How sure the intervals are, 0..1.

    Returns:
        What became of it on every target benchmark, by name, and as ``average`` on those that both
        answered if they are several; means are over the root seeds. A measure is ``None`` where it
        cannot be had, as where generated code was not run.
    """
    return since(dict.fromkeys(_targets(after, system), before), after, system, level)


def since(
    before: Mapping[str, Cells], after: Cells, system: str, level: float
) -> dict[str, Changes]:
    """Return what became of one system since states that differ by benchmark; see ``changes``.

    Args:
        before: The earlier state by benchmark; those that are compared.
        after: The state now.
        system: Name of the system.
        level: How sure the intervals are, 0..1.
    """
    states = {id(cells): cells for cells in before.values()}
    then = {key: _by_seed(cells, system) for key, cells in states.items()}
    new = _by_seed(after, system)
    old = [
        {n: found[n] for n, c in before.items() if n in (found := then[id(c)][place])}
        for place in range(len(new))
    ]
    names = [name for name in before if all(name in answers for answers in [*old, *new])]
    parts = {name: [name] for name in names} | ({"average": names} if names[1:] else {})
    unknown = {name: Changes(score=None, lenient=None) for name in before}
    return unknown | {
        name: Changes(
            score=_change(old, new, part, "score", level),
            lenient=_change(old, new, part, "lenient", level),
        )
        for name, part in parts.items()
    }


def _by_seed(cells: Cells, system: str) -> list[Mapping[str, Mapping[str, Any]]]:
    """Return what a system answered, by benchmark and item, one mapping a root seed."""
    return [_answers(cells, seed).get(system, {}) for seed in cells.seeds]


def _targets(cells: Cells, system: str) -> list[str]:
    """Return the target benchmarks that a system was asked, answered or not."""
    scores = [score for asked, _, score in cells.scores(cells.seeds[0]) if asked == system]
    return [score["benchmark"] for score in scores if score["role"] == "target"]


def _change(
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    measure: Measure,
    level: float,
) -> Change | None:
    pairs = [
        {"before": {n: a[n] for n in names}, "after": {n: b[n] for n in names}}
        for a, b in zip(old, new, strict=True)
    ]
    found = compare(pairs, "after", "before", measure, level)
    if found is None:
        return None
    before, after = (
        fmean(fmean(r[measure] for r in s[when][n].values()) for s in pairs for n in names)
        for when in ("before", "after")
    )
    return Change(before=before, after=after, **found.to_json())


def _answers(cells: Cells, seed: str) -> Answers:
    found: dict[str, dict[str, Any]] = {}
    for system, path, about in cells.scores(seed):
        samples = path.with_suffix(".samples.jsonl")
        if about["role"] == "target" and not about["not_run"] and samples.exists():
            found.setdefault(system, {})[about["benchmark"]] = _rows(samples)
    return found


def _rows(path: Path) -> Mapping[str, Mapping[str, Any]]:
    return {
        row["id"]: {key: row.get(key) for key in ("score", "lenient")} for row in read_jsonl(path)
    }


def compare(
    seeds: Sequence[Answers], one: str, other: str, measure: str, level: float
) -> Estimate | None:
    """Return one system's average less another's, paired by item.

    Args:
        seeds: The answers of each root seed.
        one: The one system.
        other: The other.
        measure: What is compared.
        level: How sure the interval is, 0..1.

    Returns:
        The difference; ``None`` if it cannot be made in every root seed.
    """
    found = [
        _differences(answers.get(one, {}), answers.get(other, {}), measure) for answers in seeds
    ]
    known = [differences for differences in found if differences]
    if len(known) < len(seeds):
        return None
    averages = [fmean(map(fmean, differences)) for differences in known]
    if len(averages) == 1:
        (parts,) = known
        spread = sum(variance(part) / len(part) for part in parts)
        return _estimate(averages[0], sqrt(spread) / len(parts), None, level)
    return _estimate(
        fmean(averages), stdev(averages) / sqrt(len(averages)), len(averages) - 1, level
    )


def _differences(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]], measure: str
) -> list[list[float]] | None:
    """Return the differences of one root seed by benchmark, or ``None`` if any is missing."""
    if not one or one.keys() != other.keys():
        return None
    found = []
    for name, rows in one.items():
        pairs = [
            (row[measure], other[name].get(item, {}).get(measure)) for item, row in rows.items()
        ]
        if len(pairs) < 2 or len(rows) != len(other[name]) or any(None in pair for pair in pairs):
            return None
        found.append([a - b for a, b in pairs])
    return found


def _estimate(value: float, stderr: float, freedom: int | None, level: float) -> Estimate:
    if stderr == 0 and value != 0:  # all differ by the same: how far that may be off is not known
        return Estimate(difference=value, low=None, high=None, p=None)
    half, p = confident(value, stderr, freedom, level)
    return Estimate(difference=value, low=value - half, high=value + half, p=p)
