"""Where the work of a run is done, if not in its own process: by workers, several at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from selfmoe.contracts.component import Component


class Unit(NamedTuple):
    """A piece of work that can be done now: nothing that is not done yet is needed for it.

    Attributes:
        name: What it is called; no two that are being done share a name.
        stage: The stage it belongs to: what resources may depend on.
        order: What ``work`` is given; plain data that can be pickled.
    """

    name: str
    stage: str
    order: Any


class Ended(NamedTuple):
    """A unit that is no longer being done.

    Attributes:
        unit: The unit.
        result: What ``work`` returned.
        lost: Why there is no result: its worker died, or could not be given the unit; empty if
            there is one. Whether it is tried again is the engine's business.
    """

    unit: Unit
    result: Any = None
    lost: str = ""


class Workers(ABC):
    """An executor at work: processes that do units, none of them this one.

    Attributes:
        size: Units that are done at once, at the most; at least 1.
    """

    size: int

    @abstractmethod
    def start(self, unit: Unit) -> None:
        """Let a worker do a unit; returns at once.

        Never called while ``size`` units are being done.
        """

    @abstractmethod
    def wait(self, seconds: float) -> Ended | None:
        """Return a unit that has ended, each of them once; ``None`` if none does in time."""

    @abstractmethod
    def close(self) -> None:
        """End all workers now, whatever they are doing; nothing that they started is left.

        What a unit has committed by then is kept, and the next run goes on from there.
        """


class Executor(Component):
    """A way to have units of work done by several processes, here or on other machines.

    The engine plans, keeps order, holds the lock of the run, decides what a failure means and what
    is tried again. An executor only brings units to processes that see the run's folder under the
    same path, and brings back what came of them.
    """

    @property
    def here(self) -> bool:
        """Whether the run's own process does one unit after the other; then nothing is opened."""
        return False

    @abstractmethod
    def open(self, work: Callable[[Any], Any], environment: Mapping[str, str]) -> Workers:
        """Return workers.

        Args:
            work: Does the order of a unit and returns what came of it; a function that workers can
                import. It keeps models for the next unit, so workers that live on save time.
            environment: Variables that workers must have before they import anything.

        Raises:
            SelfmoeError: If there can be no workers.
        """
