"""Doing what a plan says: every cell that is not there yet, in order, then manifest and report."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from importlib_metadata import PackageNotFoundError, version

from selfmoe.config.yaml_text import settings_text
from selfmoe.contracts.errors import ConfigError, DataError, RunError, SelfmoeError, StageError
from selfmoe.contracts.paths import written
from selfmoe.models.base import BaseFiles
from selfmoe.pipeline.interrupts import interrupted
from selfmoe.pipeline.metering import metered
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Job, Task
from selfmoe.reporting.terminal.progress import Display, duration
from selfmoe.store.directory import CONFIG
from selfmoe.store.files import cannot_write, write_atomic
from selfmoe.store.manifest import Manifest, StoredBase, StoredCell

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

_WHOLE_RUN = (DataError, ConfigError, RunError)
"""What concerns more than one task: input data, settings, a full disk."""

LIBRARIES = ("selfmoe", "torch", "transformers", "peft", "lm-eval", "datasets", "safetensors")


@dataclass
class Outcome:
    """What an execution did.

    Attributes:
        built: Tasks whose cells were filled now.
        reused: Tasks whose cells were there already.
        failed: Tasks that failed, each with why.
        skipped: Tasks that could not be done because one of their inputs failed.
    """

    built: list[Task] = field(default_factory=list)
    reused: list[Task] = field(default_factory=list)
    failed: list[tuple[Task, SelfmoeError]] = field(default_factory=list)
    skipped: list[Task] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what another execution did."""
        for name in vars(self):
            getattr(self, name).extend(getattr(other, name))

    def raise_failures(self) -> None:
        """Raise what went wrong, if anything did.

        Raises:
            SelfmoeError: Of the kind of the first failure; its message names all of them.
        """
        if not self.failed:
            return
        _, first = self.failed[0]
        lines = [f"{task.name}: {error}" for task, error in self.failed]
        if self.skipped:
            lines.append(f"  Not done because of that: {len(self.skipped)} cells.")
        raise type(first)("\n".join(lines))


def execute(plans: RunPlan, display: Display, *, recorded: bool = True) -> Outcome:
    """Fill all cells of a run that are not done, and write the manifest of those that are.

    A task that fails does not keep those from being done that do not depend on it.

    Args:
        plans: What the run will do.
        display: Where progress is shown.
        recorded: Whether the plans become the run's own: its settings, its plan, its manifest.

    Raises:
        SelfmoeError: If another process is writing, or input data is missing or malformed.
    """
    directory = plans.directory
    with directory.writing():
        if recorded:
            _write_config(plans)
            directory.write_plan(plans.rows)
        outcome = fill(plans.tasks, Session(plans.config, plans.base, display))
        if recorded:
            directory.write_manifest(manifest_of(plans, outcome))
    return outcome


def fill(tasks: Sequence[Task], session: Session) -> Outcome:
    """Fill the cells of all tasks that are not done, in order; the caller holds the lock.

    A task that fails does not keep those from being done that do not depend on it.

    Raises:
        SelfmoeError: If something to be done can be seen to fail, input data is missing or
            malformed, or nothing can be written.
    """
    outcome = Outcome()
    _foresee(tasks, session)
    for number, task in enumerate(tasks, start=1):
        _one(task, session, outcome, f"[{number}/{len(tasks)}]")
    return outcome


def _foresee(tasks: Sequence[Task], session: Session) -> None:
    """Let what cannot work be refused before anything is done."""
    todo = (task for task in tasks if task.foresee is not None and task.problem() is not None)
    for foresee in dict.fromkeys(task.foresee for task in todo):
        assert foresee is not None
        foresee(session)


def _one(task: Task, session: Session, outcome: Outcome, counter: str) -> None:
    problem = task.problem()
    if problem is None:
        outcome.reused.append(task)
        return
    lost = [*outcome.skipped, *(failed for failed, _ in outcome.failed)]
    if any(needed.cell == other.cell for needed in task.inputs.values() for other in lost):
        outcome.skipped.append(task)
        return
    aside = task.cell.set_aside()
    if aside is not None:
        session.display.warn(f"{problem}; moved to {aside.name}, doing {task.name} again")
    remarks: list[str] = []
    try:
        seconds = task.cell.build(
            lambda work, out: metered(Job(task, session, work, out, remarks)), _facts(task)
        )
    except Exception as error:
        if interrupted():  # what it was raised through made something else of it
            raise KeyboardInterrupt from None
        failure = _deliberate(error, task)
        task.cell.note_failure(str(failure))
        if isinstance(failure, _WHOLE_RUN):
            raise failure from None
        outcome.failed.append((task, failure))
        first = str(error).partition("\n")[0]
        session.display.say(f"{counter} {task.name} failed: {first}")
        return
    outcome.built.append(task)
    what = ", ".join([task.size, *remarks])
    session.display.say(f"{counter} {task.name} ({what}) done in {duration(seconds)}")


def _deliberate(error: Exception, task: Task) -> SelfmoeError:
    """Return what goes wrong in one task as an error that is written for the user."""
    if isinstance(error, SelfmoeError):
        return error
    if (cause := _system_error(error)).errno in _NO_SPACE:
        return cannot_write(task.cell.work, cause)
    record = task.cell.work / "error.txt"
    write_atomic(record, "".join(traceback.format_exception(error)))
    return StageError(
        f"{type(error).__name__}: {error}\n"
        f"  That is a fault of selfmoe or of a plugin; {record} says where."
    )


def _system_error(error: Exception) -> OSError:
    """Return an error of the operating system, such as a full disk; an empty one for any other.

    Libraries written in Rust, such as safetensors, tell its number in words only.
    """
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else OSError()


def _facts(task: Task) -> dict[str, Any]:
    inputs = {role: needed.cell.key for role, needed in task.inputs.items()}
    return {"stage": task.stage, "label": task.label, "seed": task.root, "inputs": inputs}


def _write_config(plan: RunPlan) -> None:
    values = plan.config.model_dump(mode="json")
    values["out"] = written(plan.directory.root.absolute())  # the file may be used from any folder
    text = settings_text(values)
    path = plan.directory.root / CONFIG
    if not path.exists() or path.read_text("utf-8") != text:
        write_atomic(path, text)


def manifest_of(
    plans: RunPlan, outcome: Outcome, no_composers: Mapping[str, str] | None = None
) -> Manifest:
    """Return what a run holds: its settings, its systems, its cells, and what is missing.

    Args:
        plans: What it was to do.
        outcome: What came of it.
        no_composers: Of a comparison: composers that cannot work, by label, each with why.
    """
    own: dict[str, Any] = {} if no_composers is None else {"no_composers": dict(no_composers)}
    missing = {seed: _missing(plan, outcome) for seed, plan in plans.seeds.items()}
    return Manifest(
        format=Manifest.FORMAT,
        base=_stored(plans.base),
        config=plans.config.model_dump(mode="json"),
        versions=versions(),
        systems=dict(plans.systems),
        left_out=dict(plans.left_out),
        cells={seed: _cells(plan) for seed, plan in plans.seeds.items()},
        missing={seed: why for seed, why in missing.items() if why},
        **own,
    )


def _stored(base: BaseFiles) -> StoredBase:
    chat = {"chat": base.template.chat} if base.template.chat else {}
    return StoredBase(name=base.name, hash=base.hash, **chat)


def _cells(plan: Plan) -> dict[str, StoredCell]:
    """Return where every cell lies that there is, by its name."""
    return {
        str(task.cell_name): StoredCell(
            key=task.cell.key,
            path=task.cell.path.relative_to(plan.directory.root).as_posix(),
        )
        for task in plan.tasks
        if task.cell.path.exists()
    }


def _missing(plan: Plan, outcome: Outcome) -> dict[str, str]:
    """Return why of what could not be done, by the name of the cell."""
    why = {id(task): str(error) for task, error in outcome.failed}
    why |= {id(task): "not done: something it needs failed" for task in outcome.skipped}
    return {str(task.cell_name): why[id(task)] for task in plan.tasks if id(task) in why}


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
