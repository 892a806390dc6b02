"""``selfmoe.compare_logs``: two models, item by item, by the samples that were kept of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from selfmoe.contracts.errors import DataError, counted
from selfmoe.contracts.paths import expand
from selfmoe.evaluation.statistics import mcnemar, sign_flip
from selfmoe.reporting.logs.items import Item, TaskLog
from selfmoe.reporting.logs.model import ComparedLogs, ComparedMetric
from selfmoe.reporting.logs.reading import ModelLog, read_model
from selfmoe.reporting.paired import compare

LEVEL = 0.95
AVERAGE = "average"

_FEWEST = 2
"""Items that say something of chance."""


_NO_INTERVAL = {"low": None, "high": None}
"""Where no item differs, how far the difference may be off is not known."""


class Both(NamedTuple):
    """The items of a task that both models were asked, in one order."""

    name: str
    a: Sequence[Item]
    b: Sequence[Item]
    lower: frozenset[str]


def compare_logs(a: str | Path, b: str | Path, *, any_prompt: bool = False) -> ComparedLogs:
    """Compare two models item by item, by sample logs of lm-eval or of selfmoe; loads no model.

    Args:
        a: A file of samples (``samples_<task>_<date>.jsonl`` of lm-eval,
            ``<domain>.<benchmark>.samples.jsonl`` of selfmoe), or the folder they lie in.
        b: The same of the model that is compared with it.
        any_prompt: Compare although prompts or right answers differ, and say so.

    Returns:
        By task and metric both scores, ``b`` less ``a`` with its 95 % interval and exact p, and
        the items won, lost and equal; with several tasks also their average. Items that only one
        was asked are left out and counted.

    Raises:
        DataError: If there are no samples, no items in common, or prompts differ.
    """
    one, other = read_model(expand(a)), read_model(expand(b))
    pairs, notes = _tasks(one, other)
    both = [_both(first, second, any_prompt, notes) for first, second in pairs]
    rows = [row for task in both for row in _rows(task, notes)]
    if not rows:
        raise DataError("nothing can be compared\n  " + "\n  ".join(notes))
    rows += _averages(both, rows)
    notes = [*one.notes, *other.notes, *notes]
    return ComparedLogs(
        a=str(one.path), b=str(other.path), confidence=LEVEL, rows=rows, notes=notes
    )


# --- what belongs together ------------------------------------------------------------------------


def _tasks(one: ModelLog, other: ModelLog) -> tuple[list[tuple[TaskLog, TaskLog]], list[str]]:
    """Return the tasks of both, and what is of one only, in words; two files are one task."""
    if one.path.is_file() and other.path.is_file():
        (first,), (second,) = one.tasks.values(), other.tasks.values()
        differ = first.name != second.name
        return [(first, second)], [f"{first.name} is compared with {second.name}"] * differ
    notes = [
        f"{name}: only {which.path} has it"
        for which, rest in ((one, other), (other, one))
        for name in which.tasks
        if name not in rest.tasks
    ]
    pairs = [(task, other.tasks[name]) for name, task in one.tasks.items() if name in other.tasks]
    if not pairs:
        raise DataError("the logs have no task in common\n  " + "\n  ".join(notes))
    return pairs, notes


def _both(first: TaskLog, second: TaskLog, any_prompt: bool, notes: list[str]) -> Both:
    """Return the items that both were asked; counts the others.

    Raises:
        DataError: If there are none, or they were asked otherwise and ``any_prompt`` is off.
    """
    if first.kind != second.kind:
        raise DataError(
            f"{first.path} is a log of {first.kind}, {second.path} one of {second.kind}: their "
            "items cannot be told to be the same\n  Compare logs of one program."
        )
    keys = [key for key in first.items if key in second.items]
    if len(keys) < _FEWEST:
        raise DataError(
            f"{first.name}: {counted(len(keys), 'item')} in common of {len(first.items)} in "
            f"{first.path} and {len(second.items)} in {second.path}\n  Items are known by their "
            "content: the data or its preparation differ, or other parts of it were asked."
        )
    for log, rest in ((first, second), (second, first)):
        if alone := len(log.items.keys() - rest.items.keys()):
            notes.append(f"{log.name}: {counted(alone, 'item')} only in {log.path}, left out")
    both = Both(
        first.name,
        [first.items[key] for key in keys],
        [second.items[key] for key in keys],
        first.lower | second.lower,
    )
    _compare_prompts(first, second, both, any_prompt, notes)
    return both


def _compare_prompts(
    first: TaskLog, second: TaskLog, both: Both, any_prompt: bool, notes: list[str]
) -> None:
    found = "; ".join(_otherwise(first, second, both))
    if found and not any_prompt:
        raise DataError(
            f"{first.name} was not asked alike: {found}\n  {first.path}\n  {second.path}\n"
            "  A difference of models would be one of prompts, too. Ask both alike, or compare "
            "all the same with --any-prompt."
        )
    if found:
        notes.append(f"{first.name} was not asked alike: {found}")


def _otherwise(first: TaskLog, second: TaskLog, both: Both) -> Iterator[str]:
    """Yield in what two logs of a task differ that should be the same."""
    n, pairs = len(both.a), list(zip(both.a, both.b, strict=True))
    shots = {(first.shots, second.shots), *((one.shots, other.shots) for one, other in pairs)}
    different = [(x, y) for x, y in shots if x is not None and y is not None and x != y]
    yield from (f"{x} and {y} solved examples" for x, y in sorted(different)[:1])
    if prompts := sum(one.prompt != other.prompt for one, other in pairs):
        yield f"prompts of {prompts} of {n} items differ"
    if targets := sum(one.target != other.target for one, other in pairs):
        yield f"right answers of {targets} of {n} items differ"


# --- numbers --------------------------------------------------------------------------------------


def _rows(task: Both, notes: list[str]) -> Iterator[ComparedMetric]:
    """Yield one row a metric; those that are no number an item are told."""
    names = dict.fromkeys(name for item in task.a for name in item.values)
    there = {name for item in task.b for name in item.values}
    for metric in names:
        if metric not in there:
            notes.append(f"{task.name}: only the first log has {metric}")
        elif not all(_is_number(item.values.get(metric)) for item in (*task.a, *task.b)):
            notes.append(f"{task.name}: {metric} is no number an item and cannot be paired")
        else:
            yield _row(task.name, metric, [task])


def _averages(both: Sequence[Both], rows: Sequence[ComparedMetric]) -> Iterator[ComparedMetric]:
    """Yield the mean over tasks of every metric that all of them have."""
    for metric in dict.fromkeys(row.metric for row in rows):
        if len(both) > 1 and sum(row.metric == metric for row in rows) == len(both):
            yield _row(AVERAGE, metric, both)


def _row(name: str, metric: str, tasks: Sequence[Both]) -> ComparedMetric:
    """Return the comparison by one metric, each task counting alike."""
    a, b = (
        {task.name: _values(items, metric) for task, items in pairs}
        for pairs in ([(t, t.a) for t in tasks], [(t, t.b) for t in tasks])
    )
    estimate = compare([{"a": a, "b": b}], "b", "a", metric, LEVEL)
    assert estimate is not None  # all are numbers, and there are two items at least
    lower = any(metric in task.lower for task in tasks)
    pairs = [(a[t][i][metric], b[t][i][metric], 1 / len(a[t])) for t in a for i in a[t]]
    won = sum((y < x) if lower else (y > x) for x, y, _ in pairs)
    lost = sum(x != y for x, y, _ in pairs) - won
    binary = len(tasks) == 1 and all(value in (0, 1) for pair in pairs for value in pair[:2])
    p = mcnemar(won, lost) if binary else sign_flip([(y - x) * weight for x, y, weight in pairs])
    return ComparedMetric(
        task=name,
        metric=metric,
        n=len(pairs),
        a=_mean(a, metric),
        b=_mean(b, metric),
        difference=estimate.model_copy(update={"p": p} | ({} if won + lost else _NO_INTERVAL)),
        test="McNemar, exact" if binary else "sign flips",
        won=won,
        lost=lost,
        equal=len(pairs) - won - lost,
        lower_is_better=lower,
        share=all(0 <= value <= 1 for pair in pairs for value in pair[:2]),
    )


def _values(items: Sequence[Item], metric: str) -> dict[str, dict[str, float]]:
    return {str(i): {metric: float(item.values[metric])} for i, item in enumerate(items)}


def _mean(tasks: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str) -> float:
    return fmean(fmean(row[metric] for row in rows.values()) for rows in tasks.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
