"""What experts are experts in: seeds, prompts, refusals, benchmarks."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.component import Component
from selfmoe.contracts.prompts import Prompts, parse_instruction
from selfmoe.contracts.records import Example, Instruction, Rejected, Seed, Source


class Domain(Component):
    """A field to become an expert in.

    Attributes:
        tracks: The tracks it offers.
        near_duplicate: ROUGE-L F1 above which two instructions count as one.
        templated: Tracks whose texts come from templates and are all alike: there, only exact
            copies count as duplicates of each other or of benchmark items.
        checked_by_running: Tracks whose seeds are programs that are run before they are used. Seeds
            drawn where there is no sandbox are not those drawn where there is one.
        verifies_by_running: Whether ``verify`` runs answers, so that there must be a sandbox.
        may_have_fewer_seeds: Whether ``seeds`` may return fewer than it is asked for.
        from_files: Whether it is there for fields without a plugin, which a run defines: its
            options are then ``seeds``, ``description`` and ``benchmark``.
        description: A few words for prompts, such as ``"grade-school mathematics"``.
    """

    tracks: ClassVar[tuple[str, ...]] = ("mini",)
    near_duplicate: ClassVar[float] = 0.7
    templated: ClassVar[frozenset[str]] = frozenset({"mini"})
    checked_by_running: ClassVar[frozenset[str]] = frozenset()
    verifies_by_running: ClassVar[bool] = False
    may_have_fewer_seeds: ClassVar[bool] = False
    from_files: ClassVar[bool] = False
    description: ClassVar[str] = ""

    def prompts(self, source: Source) -> Prompts:
        """Return how this domain asks the base model for tasks and for answers."""
        return Prompts() if source.track == "mini" else Prompts.for_domain(self.description)

    def files(self, source: Source) -> Sequence[Path]:
        """Return the files seeds are read from; when they change, seeds are drawn again.

        Raises:
            MissingDataError: If one is not there.
        """
        return ()

    @abstractmethod
    def seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds, none of them a benchmark item.

        Raises:
            DataError: If the source is missing, malformed or too small.
        """

    def parse(self, text: str) -> Instruction | Rejected:
        """Return the task that a brainstorm continuation states, or why it states none."""
        return parse_instruction(text)

    def accept(self, example: Example, source: Source) -> Rejected | None:
        """Return why an answered task must not be trained on, or ``None`` to keep it."""
        return None

    def answer(self, response: str, source: Source) -> str | None:
        """Return what a response amounts to, so that several can agree; ``None`` if nothing.

        By default its last line that is not empty.
        """
        return next((line.strip() for line in reversed(response.split("\n")) if line.strip()), None)

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Return why an answer is wrong as far as the task itself tells (``curate.verify``).

        May run code by ``selfmoe.kits.domains.run_many``.
        """
        return None

    @abstractmethod
    def benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the benchmarks of this domain on the given track.

        A run may not ask for all of them: those that read files do so when ``items`` are looked at
        (see ``selfmoe.kits.domains.UpstreamBenchmark``), and raise ``DataError`` then.
        """
