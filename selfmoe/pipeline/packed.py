"""Experts trained in one pass: the first of them that is not there trains all that are not.

What belongs to the others' cells is left in their work folders, where they find it when it is their
turn. So every expert has the cell, and the key, that it would have by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.trainer import TrainContext, Trainer
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.launched import number_of_processes
from selfmoe.pipeline.task import Job, Task
from selfmoe.store.cell import key_of
from selfmoe.store.files import commit_folder, is_intact, write_json

Contexts = Callable[[str, Task, Fit], TrainContext]
"""Returns what the trainer of an expert works with, given the loop; not ``work`` and ``out``."""

FAILED = "the pass with the others left it out"

_LEFT, _REPORT = "trained", "report.json"


def trained_with_others(
    name: str, experts: Mapping[str, Task], job: Job, context: Contexts
) -> Mapping[str, Any] | None:
    """Fill ``job.out`` with an expert that is trained in one pass with others; return its report.

    Args:
        name: The expert.
        experts: The tasks of all experts that are trained, by name.
        job: The expert's own.
        context: Of any of them.

    Returns:
        ``None`` where it has to be trained by itself; the remarks say why.
    """
    left = job.work / _LEFT
    why = None if is_intact(left) else _train(name, experts, job, context)
    if not is_intact(left):
        job.remarks.append(f"by itself: {why or FAILED}")
        return None
    shutil.copytree(left / "adapter", job.out, dirs_exist_ok=True)
    report: Mapping[str, Any] = json.loads((left / _REPORT).read_text("utf-8"))
    job.remarks.append(f"in one pass with {', '.join(report['packed_with'])}")
    return report


def _failed() -> set[str]:
    """Return experts that have not come out of a pass; kept by a session."""
    return set()


def _train(name: str, experts: Mapping[str, Task], job: Job, context: Contexts) -> str | None:
    """Train all experts that can be trained in one pass and are not there, this one among them.

    Returns:
        Why this one has to be trained by itself, if it has.
    """
    session, failed = job.session, job.session.kept(_failed)
    if number_of_processes() > 1:
        return "processes share each expert instead"
    if name in failed:
        return FAILED
    missing = {
        other: task
        for other, task in experts.items()
        if task is job.task or (other not in failed and _is_due(task))
    }
    trainers = {other: session.trainer(other) for other in missing}
    alone = {other: why for other, one in trainers.items() if (why := one.alone(session.base))}
    group = {other: task for other, task in missing.items() if other not in alone}
    if name in alone or len(group) < 2:
        return alone.get(name, "there is no other to train with it")
    done: Mapping[str, Any] = {}
    try:
        done = _pass(group, trainers, job, context)
    except StageError as error:
        session.display.warn(f"experts are trained one by one after all: {error}")
    failed |= set(group) - set(done)
    return None


def _is_due(task: Task) -> bool:
    """Return whether an expert can be trained and is not."""
    data = task.inputs["data"]
    trained = task.problem() is None or is_intact(task.cell.work / _LEFT)
    return not trained and data.problem() is None


def _pass(
    group: Mapping[str, Task], trainers: Mapping[str, Trainer], job: Job, context: Contexts
) -> Mapping[str, Any]:
    """Train a group in one pass and leave what comes of it; return the reports."""
    keys = {other: task.cell.key for other, task in group.items()}
    folder = job.work / f"pass-{key_of(keys)}"
    job.session.meter.mixed = True
    with job.session.display.work(f"specialise {', '.join(group)}") as update:
        fit = Fit(update)
        experts = {}
        for other, task in group.items():
            out = folder / "adapters" / other
            shutil.rmtree(out, ignore_errors=True)  # of an attempt that was killed
            out.mkdir(parents=True)
            given = context(other, task, fit)._replace(work=folder / "fit", out=out)
            experts[other] = (trainers[other], given)
        kind = type(next(iter(trainers.values())))
        reports = kind.train_together(experts)
    for other, report in reports.items():
        told = {**report, "packed_with": [one for one in group if one != other]}
        write = partial(_leave, folder / "adapters" / other, told)
        work = job.work if group[other] is job.task else group[other].cell.work
        commit_folder(work / _LEFT, write)
    shutil.rmtree(folder)
    return reports


def _leave(adapter: Path, report: Mapping[str, Any], folder: Path) -> None:
    shutil.copytree(adapter, folder / "adapter")
    write_json(folder / _REPORT, report)
