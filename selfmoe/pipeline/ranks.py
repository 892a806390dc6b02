"""One run by several processes: the first does all of it, the others come for what is fitted.

Until a task fits something the others wait. Then the first says which task that is; the others do
the same task up to its fit, in folders of their own that are thrown away, and fit with it. Cells,
checkpoints, manifest and report are written by the first alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from selfmoe.contracts.errors import ConfigError, RunError, StageError
from selfmoe.models.launched import number_of_processes, own_rank
from selfmoe.pipeline.executor import executor_of
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Job, Task

if TYPE_CHECKING:
    from selfmoe.models.fitting.ranks import Ranks
    from selfmoe.models.fitting.world import World
    from selfmoe.pipeline.run_plan import RunPlan
    from selfmoe.reporting.terminal.progress import Display

_ORDERS, _ENDED = "what is to be fitted", "the end of a task"


def leads() -> bool:
    """Return whether this process is the first, or the only one."""
    return own_rank() == 0


@contextmanager
def in_turn() -> Iterator[None]:
    """Let the first process go through what is within before the others do.

    Raises:
        StageError: In the others, if the first could not.
        RunError: If a process is gone.
    """
    here = _world()
    if here is None:
        yield
    elif here.rank:
        here.exchange("the plan", idle=True)
        yield
    else:
        try:
            yield
        except Exception as error:
            with suppress(StageError):
                here.exchange("the plan", problem=_why(error), idle=True)
            raise
        here.exchange("the plan", idle=True)


@contextmanager
def together(plans: RunPlan, display: Display) -> Iterator[bool]:
    """Yield whether this process is the one to do what plans say.

    In the others that is ``False``, and yielded when the first has done it.

    Raises:
        ConfigError: If the settings are not for several processes.
        RunError: If a process is gone.
    """
    here = _world()
    if here is None:
        yield True
        return
    _check(plans)
    if here.rank:
        _follow(here, plans, display)
        yield False
        return
    display.say(f"{here.size} processes share what is trained; this one does the rest.")
    try:
        yield True
    except Exception as error:
        if not here.lost:
            with suppress(StageError):
                here.exchange(_ORDERS, problem=_why(error), idle=True)
        raise
    here.exchange(_ORDERS, None, idle=True)


@contextmanager
def sharing(job: Job) -> Iterator[Ranks]:
    """Yield the processes that fit within a task; the others come with its first fit."""
    from selfmoe.models.fitting.ranks import Ranks, Several

    here = _world()
    if here is None:
        yield Ranks()
        return

    def come() -> None:
        if not here.open and not here.rank:
            here.open = bool(here.exchange(_ORDERS, _told(job.task), idle=True))

    try:
        yield Several(here, come, job.session.display.say)
    except Exception as error:
        if here.open:
            with suppress(StageError):
                here.exchange(_ENDED, problem=_why(error))
        raise
    if here.open:
        here.exchange(_ENDED)
        here.open = False


def _world() -> World | None:
    if number_of_processes() == 1:
        return None
    from selfmoe.models.fitting.world import world

    return world()


def _check(plans: RunPlan) -> None:
    """Refuse settings that several processes cannot share."""
    device = plans.config.device
    if ":" in device:
        raise ConfigError(
            f"device {device} names one card, but {number_of_processes()} processes were started\n"
            f"  Give --device {device.partition(':')[0]}: each process takes a card of its own."
        )
    if (executor := executor_of(plans)) is not None:
        raise ConfigError(
            f"executor '{executor.name}' hands out work, but {number_of_processes()} processes "
            "were started to share it\n  Leave the executor out, or start one process."
        )


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _told(task: Task) -> str:
    """Return how a task is named to other processes."""
    return f"{task.cell.path.parent.name}/{task.cell.path.name}"


def _follow(here: World, plans: RunPlan, display: Display) -> None:
    """Fit with the first process until it says that there is nothing more to do."""
    tasks = {_told(task): task for task in plans.tasks}
    session = Session(plans.config, plans.base, display)
    while (order := here.exchange(_ORDERS, None, idle=True)[0]) is not None:
        here.open = True
        try:
            if (task := tasks.get(order)) is None:
                raise RunError(f"it has no cell {order}: its code or its files are others")
            _take_part(task, session)
        except Exception as error:
            if here.lost:
                raise
            if here.open:
                with suppress(StageError):
                    here.exchange(_ENDED, problem=_why(error))


def _take_part(task: Task, session: Session) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work, out = Path(folder, "work"), Path(folder, "out")
        work.mkdir()
        out.mkdir()
        task.run(Job(task, session, work, out))
