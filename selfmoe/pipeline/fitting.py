"""The fitting loop as a task uses it: shared by all processes, its progress shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from selfmoe.pipeline.ranks import sharing
from selfmoe.pipeline.task import Job

if TYPE_CHECKING:
    from selfmoe.models.fitting.loop import Fit


@contextlib.contextmanager
def fitting(job: Job) -> Iterator[Fit]:
    """Yield the fitting loop, with its progress shown under the name of the task."""
    from selfmoe.models.fitting.loop import Fit

    with job.session.display.work(job.task.name) as update, sharing(job) as ranks:
        yield Fit(update, ranks=ranks)
