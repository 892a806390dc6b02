"""Doing what a plan says: every cell that is not there yet, in order, then manifest and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfmoe.config.yaml_text import settings_text
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.paths import written
from selfmoe.models.base import BaseFiles
from selfmoe.pipeline.doing import Done, deliberate, do
from selfmoe.pipeline.interrupts import interrupted
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Task
from selfmoe.pipeline.versions import versions
from selfmoe.pipeline.workers.crew import Crew, crew_of
from selfmoe.pipeline.workers.spread import spread
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.directory import CONFIG
from selfmoe.store.files import write_atomic
from selfmoe.store.manifest import Manifest, StoredBase, StoredCell


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
        with crew_of(plans) as crew:
            outcome = fill(plans.tasks, Session(plans.config, plans.base, display), crew)
        if recorded:
            directory.write_manifest(manifest_of(plans, outcome))
    return outcome


def fill(tasks: Sequence[Task], session: Session, crew: Crew | None = None) -> Outcome:
    """Fill the cells of all tasks that are not done, in order; the caller holds the lock.

    A task that fails does not keep those from being done that do not depend on it.

    Args:
        tasks: The tasks.
        session: What they share.
        crew: Workers that do them; without, this process does one after the other.

    Raises:
        SelfmoeError: If something to be done can be seen to fail, input data is missing or
            malformed, or nothing can be written.
    """
    _foresee(tasks, session)
    if crew is not None:
        return spread(tasks, session, crew)
    outcome = Outcome()
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
    if problem is not None and outcome.blocks(task):
        outcome.skipped.append(task)
        return
    came: Done | SelfmoeError
    try:
        came = Done() if problem is None else do(task, session)
    except Exception as error:
        if interrupted():  # what it was raised through made something else of it
            raise KeyboardInterrupt from None
        came = deliberate(error, task)
    outcome.take(task, came, session.display, counter)


def _write_config(plan: RunPlan) -> None:
    values = plan.config.kept()
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
        config=plans.config.kept(),
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
