"""The executor of a run, opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from selfmoe.contracts.executor import Unit, Workers
from selfmoe.contracts.paths import written
from selfmoe.pipeline.executor import executor_of
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.task import Task
from selfmoe.pipeline.versions import versions
from selfmoe.pipeline.workers.order import Order, plain
from selfmoe.pipeline.workers.work import work
from selfmoe.store.shards import Share

VARIABLES = ("SELFMOE_PLUGINS", "HF_HOME", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")
"""What workers have of the environment of the run, if it has it, besides the threads."""


@dataclass(frozen=True)
class Crew:
    """Workers, and what every order for them says.

    Attributes:
        workers: The workers.
        settings: The settings of the run, as JSON.
        versions: The libraries of this process.
        threads: How many threads torch has in this process.
        retries: Tries more of a unit whose worker died.
    """

    workers: Workers
    settings: str
    versions: Mapping[str, str]
    threads: int
    retries: int

    def unit(self, task: Task, share: Share | None = None) -> Unit:
        """Return a task, or a share of its shards, as a unit of work."""
        order = Order(
            versions=self.versions,
            threads=self.threads,
            settings=self.settings,
            root=task.root,
            cell=str(task.cell_name),
            key=task.cell.key,
            share=share,
        )
        part = f", part {share.first + 1} of {share.of}" if share else ""
        return Unit(f"{task.name} @{task.cell.key}{part}", task.stage, plain(order))


@contextmanager
def crew_of(plans: RunPlan) -> Iterator[Crew | None]:
    """Open the executor of a run, and end its workers in the end; ``None`` for this process.

    Raises:
        SelfmoeError: If there can be no workers.
    """
    executor = executor_of(plans)
    if executor is None or all(task.problem() is None for task in plans.tasks):
        yield None
        return
    import torch

    threads = torch.get_num_threads()
    given = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    out = written(plans.directory.root.absolute())  # workers may be in any folder
    settings = json.dumps({**plans.config.kept(), "out": out})
    with closing(executor.open(work, {**given, "OMP_NUM_THREADS": str(threads)})) as workers:
        yield Crew(workers, settings, versions(), threads, plans.config.execute.retries)
