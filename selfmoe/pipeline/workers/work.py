"""What a worker does: it plans the run again, and does one unit of it if it would do the same."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import RunError, SelfmoeError
from selfmoe.pipeline.doing import Done, deliberate, do, do_share
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Task
from selfmoe.pipeline.versions import versions
from selfmoe.pipeline.workers.order import Order, Report, failure_of, plain
from selfmoe.registry.options import validate
from selfmoe.reporting.terminal.progress import Display, Update
from selfmoe.store.shards import Share


class _Told(Display):
    """Keeps what is said, for the run to show it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[bool, str]] = []

    @contextmanager
    def work(self, title: str) -> Iterator[Update]:
        """Show nothing: how far a unit is would be told too late."""
        yield lambda *progress: None

    def say(self, text: str) -> None:
        """Keep one line."""
        self.said.append((False, text))

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.said.append((True, text))


def work(order: Mapping[str, Any]) -> dict[str, Any]:
    """Do one ``Order`` and return a ``Report``, both as plain data.

    The base is loaded once and kept for the next unit of the same run.
    """
    told = _Told()
    try:
        done = _do(order, told)
    except SelfmoeError as error:
        return plain(Report(said=told.said, failure=failure_of(error)))
    return plain(Report(done.seconds, done.remarks, told.said))


def _do(order: Mapping[str, Any], told: _Told) -> Done:
    check_versions(order["versions"])
    asked = Order(**order)
    session, tasks = _run(asked.settings)
    task = _same(tasks.get((asked.root, asked.cell)), asked)
    _compute_with(asked.threads)
    session.display = told
    try:
        if asked.share is None:
            return do(task, session)
        do_share(task, session, Share(*asked.share))
    except Exception as error:
        raise deliberate(error, task) from None
    return Done()


def check_versions(wanted: Mapping[str, str]) -> None:
    """Refuse to work with other libraries than the run.

    Raises:
        RunError: Naming this worker, the libraries, and both versions of each.
    """
    own = versions()
    other = [
        f"{name} {own.get(name, 'not installed')} and not {version}"
        for name, version in wanted.items()
        if own.get(name) != version
    ]
    if other:
        raise RunError(
            f"{_here()} is no worker for this run, it has {', '.join(other)}\n"
            "  Results depend on these: install the versions of the run there, or leave it out."
        )


@lru_cache(maxsize=1)
def _run(settings: str) -> tuple[Session, Mapping[tuple[int, str], Task]]:
    """Return what the tasks of a run share, and all of them by root seed and name of the cell."""
    plans = make_plans(validate(RunConfig, json.loads(settings)))
    tasks = {(task.root, str(task.cell_name)): task for task in plans.tasks}
    return Session(plans.config, plans.base, _Told()), tasks


def _same(task: Task | None, asked: Order) -> Task:
    """Return a task that is what the run means by it.

    Raises:
        RunError: If it is not.
    """
    if task is None or task.cell.key != asked.key:
        found = "nothing" if task is None else f"the cell @{task.cell.key}"
        raise RunError(
            f"{_here()} is no worker for this run, {asked.cell} is {found} there and not "
            f"@{asked.key}\n  Code, data or devices are others there: give it those of the run, "
            "or leave it out."
        )
    return task


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _compute_with(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
