"""What commands find out about a run and keep in its folder, beside the run itself."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import write_atomic
from selfmoe.store.record import FileRecord


class BesideDirectory(RunDirectory):
    """A run directory as a command sees it that leaves the run as it is.

    The cells are the same; in a folder of its own lie a manifest, a plan, results and a page.

    Attributes:
        NAME: The folder, below the root.
        COMMAND: The command.
    """

    NAME: ClassVar[str]
    COMMAND: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Put manifest and plan into the folder."""
        cls.MANIFEST, cls.PLAN = f"{cls.NAME}/manifest.json", f"{cls.NAME}/plan.json"

    @property
    def again(self) -> str:
        """Return the command that makes again what is damaged or missing."""
        return f"selfmoe {self.COMMAND} {shlex.quote(str(self.root))}"

    @property
    def results(self) -> Path:
        """Return where the numbers lie."""
        return self.root / self.NAME / "results.json"

    @property
    def page(self) -> Path:
        """Return where the same lies as a page."""
        return self.root / self.NAME / "index.html"

    def write_found(self, results: FileRecord, page: str) -> None:
        """Write what was found out, as numbers and as a page.

        Raises:
            RunError: If it cannot be written.
        """
        results.write(self.results)
        write_atomic(self.page, page)


class ComparisonDirectory(BesideDirectory):
    """A run directory as its comparison sees it."""

    NAME: ClassVar[str] = "comparison"
    COMMAND: ClassVar[str] = "compare"


class ClaimsDirectory(BesideDirectory):
    """A run directory as its claims see it."""

    NAME: ClassVar[str] = "claims"
    COMMAND: ClassVar[str] = "claims"


class ContinualDirectory(BesideDirectory):
    """A run directory as the experts see it that come to it one by one."""

    NAME: ClassVar[str] = "continual"
    COMMAND: ClassVar[str] = "continual"

    @property
    def again(self) -> str:
        """Return the command; who comes, and how, is not on record."""
        return f"{super().again}, with the options of before"


BESIDE: tuple[type[BesideDirectory], ...] = (
    ComparisonDirectory,
    ClaimsDirectory,
    ContinualDirectory,
)
"""What may lie in a run's folder beside the run."""
