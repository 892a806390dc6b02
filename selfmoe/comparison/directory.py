"""Where a comparison keeps what it made: in the run's folder, beside the run's own record."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from selfmoe.rundir import RunDirectory

COMPARISON = "comparison"


class ComparisonDirectory(RunDirectory):
    """A run directory as its comparison sees it: the same cells, a manifest and plan of its own."""

    MANIFEST: ClassVar[str] = f"{COMPARISON}/manifest.json"
    PLAN: ClassVar[str] = f"{COMPARISON}/plan.json"

    @property
    def again(self) -> str:
        """Return the command that makes again what is damaged or missing."""
        return f"selfmoe compare {shlex.quote(str(self.root))}"

    @property
    def results(self) -> Path:
        """Return where the numbers of the comparison lie."""
        return self.root / COMPARISON / "results.json"

    @property
    def page(self) -> Path:
        """Return where the same numbers lie as a page."""
        return self.root / COMPARISON / "index.html"
