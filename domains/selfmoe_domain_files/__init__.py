"""The domain for fields that have no plugin: seeds, and items to be scored on, from two files.

A run defines such a domain under a name of its own:

    define:
      law: {domain: files, options: {seeds: law.jsonl, description: contract law}}

or ``selfmoe add-expert RUN law --seeds law.jsonl --description "contract law"`` does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from selfmoe.contracts import (
    Benchmark,
    ComponentConfig,
    DataError,
    Domain,
    Prompts,
    Seed,
    Source,
    hookimpl,
)

if TYPE_CHECKING:
    from selfmoe_domain_files.rows import Row

SELFMOE_API = 1

File = Annotated[Path, AfterValidator(Path.absolute)]


class Files(Domain):
    """A field without a plugin: tasks from a JSONL or CSV file, scored on another one.

    The files have the columns ``instruction``, ``input`` (may be left out or empty) and
    ``response``. Both tracks read them.
    """

    name = "files"
    tracks = ("mini", "benchmark")
    templated = frozenset()
    from_files = True
    may_have_fewer_seeds = True

    class Config(ComponentConfig):
        """Options of a domain made of files."""

        seeds: File = Field(description="JSONL or CSV file of tasks with their responses.")
        description: str = Field(
            "", description="The field in a few words, for prompts; default: the domain's name."
        )
        benchmark: File | None = Field(
            None, description="File of held-out tasks to be scored on; default: it is not scored."
        )
        max_new_tokens: int = Field(128, ge=1, description="Longest answer when scored, in tokens.")

    @property
    def description(self) -> str:  # type: ignore[override]
        """The field in a few words."""
        return str(self.options.description or self.name)

    def prompts(self, source: Source) -> Prompts:
        """Return prompts that name the field; in few words on the mini track."""
        if source.track == "mini":
            return Prompts(brainstorm_header=f"Here is a list of {self.description} tasks.")
        return Prompts.for_domain(self.description)

    def files(self, source: Source) -> Sequence[Path]:
        """Return the file of seeds."""
        from selfmoe_domain_files.rows import found

        return [found(self.options.seeds, f"seeds of domain '{self.name}'")]

    def seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds, or all there are in the file's order if there are no more.

        Raises:
            DataError: If the file is missing, malformed, or states a task twice.
        """
        from selfmoe_domain_files.rows import read

        rows = read(self.options.seeds, f"seeds of domain '{self.name}'")
        self._refuse_stops(rows, source)
        chosen = rows if len(rows) <= n else rng.sample(rows, n)
        return [Seed(row.id, row.instruction, row.input, row.response) for row in chosen]

    def benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the benchmark of held-out tasks, if a file of them is named."""
        from selfmoe_domain_files.held_out import HeldOut

        options = self.options
        if options.benchmark is None:
            return []
        return [HeldOut(options.benchmark, self.name, options.max_new_tokens)]

    def _refuse_stops(self, rows: Sequence[Row], source: Source) -> None:
        """Refuse rows that prompts could not show, because they hold what ends a task or answer."""
        for row in rows:
            for mark in self.prompts(source).stop:
                if mark in f"{row.instruction}\n{row.input}" or mark in row.response:
                    raise DataError(
                        f"{self.options.seeds}, task '{row.id}' holds {mark!r}, which ends a task "
                        "or an answer in the prompts\n  Take it out, such as by joining paragraphs."
                    )


@hookimpl
def register_domains() -> Iterable[type[Domain]]:
    """Return the domain of this package."""
    return [Files]
