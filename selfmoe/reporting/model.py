"""What ``report/results.json`` holds, and what a comparison has in common with it, as types.

Scores are shares in 0..1, differences lie in -1..1. An interval is that of the confidence the
results name; ``None`` stands for what cannot be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from selfmoe.contracts.records import SystemKind
from selfmoe.store.cells import Interval
from selfmoe.store.manifest import StoredBase
from selfmoe.store.record import FileRecord, StrictRecord

Shares = dict[str, dict[str, dict[str, float]]]
"""``system -> benchmark -> expert -> share`` of the weight of tokens, 0..1."""


class Spread(NamedTuple):
    """A score with its interval, as it is drawn; without an interval it has no width."""

    value: float
    low: float
    high: float
    lenient: float | None

    @property
    def half(self) -> float:
        """Return half the width of the interval."""
        return (self.high - self.low) / 2


class BenchmarkScore(StrictRecord):
    """One system's score on one benchmark, over all seeds.

    Attributes:
        value: Share of the items that are right in the prescribed form; ``None`` if not run.
        stderr: Standard error of ``value``.
        low: Lower end of the interval.
        high: Upper end of the interval.
        lenient: Share that is right in any form, where the benchmark tells the two apart.
        role: ``target`` if it enters the average, else ``non-target``.
        n: Number of items.
        not_run: Why there is no value.
        extra: Counts worth showing, as in ``selfmoe.contracts.records.Score``.
        interval: What the interval speaks of.
        by_seed: ``value`` of each seed that has one, where seeds touch the system.
        lenient_by_seed: The same of ``lenient``.
    """

    value: float | None
    stderr: float | None
    low: float | None
    high: float | None
    lenient: float | None
    role: str = "target"
    n: int
    not_run: str | None
    extra: dict[str, Any]
    interval: Interval = "items"
    by_seed: list[float] | None = None
    lenient_by_seed: list[float | None] | None = None

    @property
    def spread(self) -> Spread | None:
        """Return value and interval, or ``None`` if it was not run."""
        return _spread(self.value, self.low, self.high, self.lenient)


class SystemScores(StrictRecord):
    """One system's scores and their average over the targets.

    Attributes:
        name: The system's name.
        kind: What it is made by.
        labelled: Whether it is told which domain each item is from.
        scores: Its scores, by benchmark.
        average: Mean over the targets that have a score.
        average_low: Lower end of its interval.
        average_high: Upper end of its interval.
        average_lenient: Mean of the lenient scores.
        covers: Targets that the average is of, and targets there are.
    """

    name: str
    kind: SystemKind
    labelled: bool = False
    scores: dict[str, BenchmarkScore]
    average: float | None
    average_low: float | None
    average_high: float | None
    average_lenient: float | None = None
    covers: list[int] = Field(min_length=2, max_length=2)

    @property
    def spread(self) -> Spread | None:
        """Return the average and its interval, or ``None`` if there is none."""
        return _spread(self.average, self.average_low, self.average_high, self.average_lenient)

    @property
    def is_complete(self) -> bool:
        """Return whether the system has a score on every target."""
        covered, targets = self.covers
        return covered == targets


def _spread(
    value: float | None, low: float | None, high: float | None, lenient: float | None
) -> Spread | None:
    if value is None:
        return None
    return Spread(value, value if low is None else low, value if high is None else high, lenient)


class Estimate(StrictRecord):
    """A difference of two systems on the same items.

    Attributes:
        difference: One less the other.
        low: Lower end of its interval; without spread it has neither interval nor p.
        high: Upper end of its interval.
        p: Two-sided p that there is no difference, 0..1.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None


class Measured(StrictRecord):
    """A system's difference to the reference, by measure; ``None`` where it cannot be had."""

    score: Estimate | None
    lenient: Estimate | None


class Paired(StrictRecord):
    """Differences of all systems to one of them.

    Attributes:
        reference: The one.
        systems: The others, by name.
    """

    reference: str
    systems: dict[str, Measured]


class Change(Estimate):
    """What became of a system on the same items.

    Attributes:
        before: Mean score before.
        after: Mean score after.
    """

    before: float
    after: float


class Changes(StrictRecord):
    """What became of a system on one benchmark, by measure; ``None`` where it cannot be had."""

    score: Change | None
    lenient: Change | None


class Dropped(StrictRecord):
    """Generated texts that were not used: how many by reason, where they were found."""

    brainstorm: dict[str, int]
    curate: dict[str, int]


class Retrieved(StrictRecord):
    """Of a domain with documents: answers and kept ones that had passages; passages left out."""

    answers: int
    kept: int
    no_room: int


class DataYield(StrictRecord):
    """What became of the texts that the base wrote for one domain, in numbers of them.

    Attributes:
        written: Texts.
        instructions: Distinct, well-formed tasks among them.
        kept: Examples that experts are trained on.
        dropped: What was not used.
        overlap_8gram: Examples that share eight words in a row with a benchmark item.
        retrieved: Of domains with documents.
    """

    written: int
    instructions: int
    kept: int
    dropped: Dropped
    overlap_8gram: int | None = None
    retrieved: Retrieved | None = None


class Results(FileRecord):
    """What a run and a comparison have in common.

    Attributes:
        base: The base.
        track: ``mini`` or ``benchmark``.
        preset: Name of the budgets.
        seeds: The seeds of the systems.
        interval: What the intervals of systems speak of that seeds touch.
        confidence: How sure intervals are, 0..1.
        systems: All systems, the base first.
        paired: Differences to the first composition; ``None`` if there is none.
        routing: Share of each expert in the weight of all tokens.
        routing_response: The same of the answers' tokens.
        versions: Library -> version.
        cells: Keys of all cells.
    """

    base: StoredBase
    track: str
    preset: str
    seeds: list[int]
    interval: Interval
    confidence: float
    systems: Sequence[SystemScores]
    paired: Paired | None
    routing: Shares
    routing_response: Shares
    versions: dict[str, str]
    cells: list[str]

    @property
    def seed_name(self) -> str:
        """Return what the seeds are called."""
        return "root seed"

    @property
    def fixed(self) -> tuple[SystemKind, ...]:
        """Return the kinds of systems that no seed touches."""
        return ("base",)


class RunResults(Results):
    """What ``report/results.json`` holds.

    Attributes:
        data: ``root seed -> domain -> yield``.
        seconds: How long each stage took when its cells were made.
    """

    data: dict[str, dict[str, DataYield]]
    seconds: dict[str, float]


class GrowthResults(StrictRecord):
    """What ``selfmoe add-expert --json`` prints.

    Attributes:
        expert: The new expert.
        router: How it joined: ``refit`` or ``extend``.
        systems: ``system -> benchmark -> changes``.
        left: The compositions that stay as they are.
        results: The results of the run.
    """

    expert: str
    router: str
    systems: Mapping[str, Mapping[str, Changes]]
    left: list[str]
    results: RunResults
