"""What ``continual/results.json`` holds, as types. Scores lie in 0..1, differences in -1..1."""

from __future__ import annotations

from pydantic import Field

from selfmoe.reporting.model import Changes
from selfmoe.reporting.numbers import whole_mean
from selfmoe.store.manifest import StoredBase
from selfmoe.store.record import FileRecord, StrictRecord


class Arrival(StrictRecord):
    """One state: who came, what that cost, and what the systems can do now.

    Attributes:
        expert: Who came; empty for the state that everything began with.
        experts: How many experts there are now.
        seconds: Stage -> how long the cells took that no state before needed, over all root seeds.
        bytes: The same of the files of the expert and of the compositions, by stage.
        unchanged: Whether the experts that were there are the same files, byte for byte;
            ``None`` at the beginning.
        found_again: Whether taking the expert out again gives the cells of the state before, with
            nothing to do; ``None`` at the beginning.
        home: Benchmark of the expert's domain -> its own score there, mean over the root seeds.
        scores: ``system -> benchmark -> score``, mean over the root seeds.
        since: ``system -> benchmark -> what became of it`` since its expert came, and as
            ``average`` of those; only benchmarks of experts that came before this one.
    """

    expert: str
    experts: int
    seconds: dict[str, float]
    bytes: dict[str, int]
    unchanged: bool | None
    found_again: bool | None
    home: dict[str, float | None]
    scores: dict[str, dict[str, float | None]]
    since: dict[str, dict[str, Changes]]

    def made_in(self) -> float:
        """Return how many seconds data, expert and compositions took; no evaluation."""
        return sum(taken for stage, taken in self.seconds.items() if stage != "evaluate")

    def average(self, system: str) -> float | None:
        """Return a system's mean over the benchmarks, 0..1; ``None`` if a score is missing."""
        return whole_mean(list(self.scores.get(system, {}).values()))


class ContinualResults(FileRecord):
    """What ``continual/results.json`` holds.

    Attributes:
        base: The base.
        track: ``mini`` or ``benchmark``.
        preset: Name of the budgets.
        seeds: The root seeds.
        join: How experts joined: ``extend`` or ``refit``.
        confidence: How sure the intervals are, 0..1.
        start: The experts that were there first.
        systems: The compositions.
        arrivals: The states, the first one without an arrival.
        missing: ``seed and state -> cell -> why`` of what could not be done.
        versions: Library -> version.
        cells: Keys of all cells.
    """

    base: StoredBase
    track: str
    preset: str
    seeds: list[int]
    join: str
    confidence: float
    start: list[str]
    systems: list[str]
    arrivals: list[Arrival] = Field(min_length=1)
    missing: dict[str, dict[str, str]]
    versions: dict[str, str]
    cells: list[str]
