"""The work of a run done on this machine: by its own process, or by several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import Field

from selfmoe.contracts import ComponentConfig as Options
from selfmoe.contracts import Executor, Workers, hookimpl

SELFMOE_API = 1


class Local(Executor):
    """This machine: the process of the run itself, or as many others as there are workers."""

    name = "local"
    reference_url = "https://docs.python.org/3/library/concurrent.futures.html#processpoolexecutor"
    default = True

    class Config(Options):
        """How much is done at once."""

        workers: int = Field(
            1,
            ge=1,
            le=1024,
            description="Units of work done at once, each by a process with a base of its own; 1: "
            "by the run's own process.",
        )

    @property
    def here(self) -> bool:
        """Whether the run's own process does the work."""
        return bool(self.options.workers == 1)

    def open(self, work: Callable[[Any], Any], environment: Mapping[str, str]) -> Workers:
        """Return workers; their processes start with the first units."""
        from selfmoe_executor_local.processes import Processes

        return Processes(self.options.workers, work, environment)


@hookimpl
def register_executors() -> Iterable[type[Executor]]:
    """Return the executor."""
    return [Local]
