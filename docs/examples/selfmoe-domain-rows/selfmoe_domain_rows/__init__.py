"""The domain `rows`."""

from __future__ import annotations

from selfmoe.contracts import hookimpl
from selfmoe.contracts import Domain
from selfmoe.kits.domains import MiniDomain
from selfmoe.contracts import Instruction, Rejected

from .families import FAMILIES

SELFMOE_API = 1


class RowsDomain(MiniDomain):
    """Rows of numbers, and how they go on."""

    name = "rows"
    description = "rows of numbers"
    families = FAMILIES
    style = "marked"

    def parse(self, text: str) -> Instruction | Rejected:
        """Return the task that the base wrote, if it is about a row of numbers."""
        task = super().parse(text)
        if isinstance(task, Instruction) and not task.input.startswith("The row is "):
            return Rejected("about no row")
        return task


@hookimpl
def register_domains() -> list[type[Domain]]:
    """Return the domain of this package."""
    return [RowsDomain]
