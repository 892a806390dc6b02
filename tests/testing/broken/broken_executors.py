"""Executors of which each breaks one check, named by ``fails``."""

from __future__ import annotations

from pathlib import Path

from selfmoe.contracts import Ended
from selfmoe_executor_local import Local
from selfmoe_executor_local.processes import Processes


class Forked(Processes):
    """Processes that are there at once: nothing here runs threads."""

    method = "fork"


class Two(Local):
    """The local one, with two workers of a kind of its own."""

    kind = Forked

    def __init__(self, options=None):
        super().__init__(options or Local.Config(workers=2))

    def open(self, work, environment):
        return self.kind(2, work, environment)


class _Stutter(Forked):
    again = None

    def wait(self, seconds):
        if self.again is not None:
            found, self.again = self.again, None
            return found
        found = super().wait(seconds)
        self.again = found if found and found.result == 4 else None
        return found


class Stuttering(Two):
    """Tells some results twice."""

    fails = "test_every_unit_ends_once_with_what_came_of_it"
    kind = _Stutter


class _Queue(Forked):
    kept = ()

    def start(self, unit):
        if unit.name.endswith("/b"):
            self.kept = (unit,)
        else:
            super().start(unit)

    def wait(self, seconds):
        found = super().wait(seconds)
        while found is not None and self.kept:
            (unit,), self.kept = self.kept, ()
            super().start(unit)
        return found


class OneByOne(Two):
    """Keeps one of two units back until the other has ended."""

    fails = "test_two_units_are_done_at_once"
    kind = _Queue


class _Here(Forked):
    done = None

    def start(self, unit):
        if unit.name == "number":
            self.done = Ended(unit, self._work(unit.order))
        else:
            super().start(unit)

    def wait(self, seconds):
        if self.done is not None:
            found, self.done = self.done, None
            return found
        return super().wait(seconds)


class Here(Two):
    """Does some units in this process."""

    fails = "test_units_are_done_by_other_processes"
    kind = _Here


class Bare(Two):
    """Does not give its processes the variables."""

    fails = "test_workers_have_the_variables"

    def open(self, work, environment):
        return super().open(work, {})


class _Silent(Forked):
    def wait(self, seconds):
        found = super().wait(seconds)
        return Ended(found.unit) if found and "ValueError" in found.lost else found


class Silent(Two):
    """Takes what the work raises for nothing."""

    fails = "test_a_fault_is_told"
    kind = _Silent


class _Fragile(Forked):
    died = False

    def wait(self, seconds):
        found = super().wait(seconds)
        self.died |= found is not None and "died" in found.lost
        return Ended(found.unit, lost="all is lost") if found and self.died else found


class Fragile(Two):
    """Takes all other units for lost when a worker dies."""

    fails = "test_a_worker_that_dies_costs_its_unit_only"
    kind = _Fragile


class _Impatient(Forked):
    def wait(self, seconds):
        if seconds == 0.2:
            return Ended(next(iter(self._busy.values()))[0])
        return super().wait(seconds)


class Impatient(Two):
    """Says that a unit has ended which has not, for having something to say."""

    fails = "test_waiting_has_an_end"
    kind = _Impatient


class _Leaving(Forked):
    left = False

    def close(self):
        orders = [unit.order["with"] for unit, _ in self._busy.values()]
        if self.left or not any(Path(order.get("started", "")).is_file() for order in orders):
            super().close()
        self.left = True


class Leaving(Two):
    """Leaves its processes to themselves when it is closed for the first time."""

    fails = "test_close_ends_what_is_being_done"
    kind = _Leaving
