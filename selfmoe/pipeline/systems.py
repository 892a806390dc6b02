"""The systems of a plan: the base, its experts, and every composition of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from selfmoe.contracts.records import System

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan
    from selfmoe.pipeline.task import Task


def systems_of(plan: Plan) -> Iterator[tuple[System, Task | None]]:
    """Yield every system of a plan with the task that makes it (none for the base)."""
    yield System.base(), None
    shots = plan.config.evaluate.base_shots
    if shots and plan.config.track == "mini":
        yield System.base(shots), None
    for name, task in plan.of("specialise").items():
        yield System.of_expert(name), task
    made = plan.of("compose")
    for label, entry in (plan.config.compose or {}).items():
        yield System(label, "router" if entry.router else "merge"), made[label]
