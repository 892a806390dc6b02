"""Doing one task: its cell is filled, by one process at a time, or it is told why not."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import ConfigError, DataError, RunError, SelfmoeError, StageError
from selfmoe.pipeline.metering import metered
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Job, Task
from selfmoe.store.files import cannot_write, write_atomic
from selfmoe.store.shards import Share, ShareFilled

WHOLE_RUN = (DataError, ConfigError, RunError)
"""What concerns more than one task: input data, settings, a full disk."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


@dataclass(frozen=True)
class Done:
    """What came of a task.

    Attributes:
        seconds: How long it took; ``None`` if it was done already.
        remarks: What came of it, where that is less than what was planned.
    """

    seconds: float | None = None
    remarks: tuple[str, ...] = ()


def do(task: Task, session: Session) -> Done:
    """Fill the cell of a task, unless that is done; a damaged one is set aside.

    Raises:
        Exception: Whatever goes wrong; see ``deliberate``.
    """
    with task.cell.locked():
        problem = task.problem()
        if problem is None:
            return Done()
        aside = task.cell.set_aside()
        if aside is not None:
            session.display.warn(f"{problem}; moved to {aside.name}, doing {task.name} again")
        remarks: list[str] = []
        seconds = task.cell.build(
            lambda work, out: metered(Job(task, session, work, out, remarks)), _facts(task)
        )
    return Done(seconds, tuple(remarks))


def do_share(task: Task, session: Session, share: Share) -> None:
    """Fill a share of the shards from which the cell of a task is going to be made.

    Raises:
        Exception: Whatever goes wrong; see ``deliberate``.
    """
    if task.problem() is None:
        return
    with tempfile.TemporaryDirectory() as out, suppress(ShareFilled):
        task.run(Job(task, session, task.cell.work, Path(out), share=share))


def deliberate(error: Exception, task: Task) -> SelfmoeError:
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
