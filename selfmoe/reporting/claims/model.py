"""What ``claims/results.json`` holds, as types; values lie in 0..1, differences in -1..1."""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from selfmoe.evaluation.verdicts import VERDICTS, Verdict
from selfmoe.store.manifest import StoredBase
from selfmoe.store.record import FileRecord, StrictRecord


class Pair(StrictRecord):
    """Both sides of a claim, as numbers.

    Attributes:
        one: The side that should lie above.
        other: The side that should lie below.
    """

    one: float
    other: float

    @property
    def difference(self) -> float:
        """Return one less the other."""
        return self.one - self.other


class TestedClaim(StrictRecord):
    """One claim and what came of it.

    Attributes:
        id: Its name.
        place: The table or figure of the paper.
        sentence: What is claimed.
        sides: What each side is, in words; the first should lie above the second.
        margin: What the difference must exceed; below 0, the first may be worse by as much.
        paper: What the paper has; ``None`` where it prints no number.
        ours: What the run has; ``None`` where it cannot be tested.
        verdict: What the run says of it.
        reason: Why it cannot be tested.
        low: Lower end of the interval of the difference.
        high: Upper end of it.
        p: Two-sided p that the difference is ``margin``, not corrected.
        effect: The difference in standard deviations of the items' differences.
        smallest: Distance from ``margin`` that the run would have seen in 80 of 100 cases; ``None``
            where it could have seen none.
        items: Items of all benchmarks.
        benchmarks: The benchmarks.
        over: What the interval speaks of.
    """

    __test__ = False  # pytest must not take it for a test

    id: str
    place: str
    sentence: str
    sides: list[str]
    margin: float
    paper: Pair | None
    ours: Pair | None = None
    verdict: Verdict
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    effect: float | None = None
    smallest: float | None = None
    items: int = 0
    benchmarks: list[str] = Field(default_factory=list)
    over: str | None = None


class ClaimsResults(FileRecord):
    """What ``claims/results.json`` holds.

    Attributes:
        base: The base.
        track: ``mini`` or ``benchmark``.
        preset: Name of the budgets.
        seeds: The root seeds.
        confidence: How sure all intervals are together, 0..1.
        tested: How many claims can be tested; the intervals are corrected for their number.
        level: How sure each interval is by itself, 0..1.
        claims: The claims, in the paper's order.
        missing: ``seed and variant -> cell -> why`` of what could not be done.
        versions: Library -> version.
        cells: Keys of all cells.
    """

    base: StoredBase
    track: str
    preset: str
    seeds: list[int]
    confidence: float
    tested: int
    level: float
    claims: list[TestedClaim]
    missing: dict[str, dict[str, str]]
    versions: dict[str, str]
    cells: list[str]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Return how many claims have each verdict."""
        found = Counter(claim.verdict for claim in self.claims)
        return {verdict: found[verdict] for verdict in VERDICTS}
