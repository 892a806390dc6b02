"""What came of the tasks of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from selfmoe.contracts.errors import SelfmoeError
from selfmoe.pipeline.doing import WHOLE_RUN, Done
from selfmoe.pipeline.task import Task
from selfmoe.reporting.terminal.progress import Display, duration


@dataclass
class Outcome:
    """What an execution did.

    Attributes:
        built: Tasks whose cells were filled now.
        reused: Tasks whose cells were there already.
        failed: Tasks that failed, each with why.
        skipped: Tasks that could not be done because one of their inputs failed.
    """

    built: list[Task] = field(default_factory=list)
    reused: list[Task] = field(default_factory=list)
    failed: list[tuple[Task, SelfmoeError]] = field(default_factory=list)
    skipped: list[Task] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what another execution did."""
        for name in vars(self):
            getattr(self, name).extend(getattr(other, name))

    def blocks(self, task: Task) -> bool:
        """Return whether something that a task needs could not be done."""
        lost = [*self.skipped, *(failed for failed, _ in self.failed)]
        return any(needed.cell == other.cell for needed in task.inputs.values() for other in lost)

    def take(self, task: Task, came: Done | SelfmoeError, display: Display, counter: str) -> None:
        """Keep what came of a task, and say it.

        Args:
            task: The task.
            came: What came of it, or what went wrong.
            display: Where it is said.
            counter: In front of what is said: which of how many.

        Raises:
            SelfmoeError: What went wrong, if it concerns more than the task.
        """
        if isinstance(came, SelfmoeError):
            task.cell.note_failure(str(came))
            if isinstance(came, WHOLE_RUN):
                raise came from None
            self.failed.append((task, came))
            first = str(came).partition("\n")[0]
            display.say(f"{counter} {task.name} failed: {first}")
        elif came.seconds is None:
            self.reused.append(task)
        else:
            self.built.append(task)
            what = ", ".join([task.size, *came.remarks])
            display.say(f"{counter} {task.name} ({what}) done in {duration(came.seconds)}")

    def raise_failures(self) -> None:
        """Raise what went wrong, if anything did.

        Raises:
            SelfmoeError: Of the kind of the first failure; its message names all of them.
        """
        if not self.failed:
            return
        _, first = self.failed[0]
        lines = [f"{task.name}: {error}" for task, error in self.failed]
        if self.skipped:
            lines.append(f"  Not done because of that: {len(self.skipped)} cells.")
        raise type(first)("\n".join(lines))
