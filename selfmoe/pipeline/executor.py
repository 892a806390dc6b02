"""Who does the work of a run: its own process, or the workers of an executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfmoe.contracts.errors import ConfigError
from selfmoe.contracts.executor import Executor

if TYPE_CHECKING:
    from selfmoe.pipeline.run_plan import RunPlan


def executor_of(plans: RunPlan) -> Executor | None:
    """Return what is to do the work of a run, if not this process.

    Raises:
        ConfigError: If the settings ask for what only one process can do.
    """
    chosen = plans.config.execute
    if chosen.executor is None:
        return None
    found: Executor = plans.config.registry.configure("executor", chosen.executor, chosen.options)
    if found.here:
        return None
    if plans.config.specialise.packed:
        raise ConfigError(
            f"specialise.packed trains all experts in one process, but executor '{found.name}' "
            "hands them to several\n  Leave one of the two out."
        )
    return found
