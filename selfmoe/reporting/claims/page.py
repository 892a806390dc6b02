"""The verdicts as one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from selfmoe.reporting.claims.model import ClaimsResults, TestedClaim
from selfmoe.reporting.claims.tables import claims_notes, difference_text, interval_text, pair_text
from selfmoe.reporting.html.head import Tile, missing, sections
from selfmoe.reporting.html.templating import fill
from selfmoe.reporting.numbers import change, decimal, p_value, percent, plural, position
from selfmoe.reporting.visible import short

_SECTIONS = {"claims": "Claims", "intervals": "Differences", "versions": "Versions"}

_FURTHEST = 0.05
"""Half the width of the axis of differences, at the least."""


class Row(NamedTuple):
    """A claim in the table."""

    place: str
    id: str
    sentence: str
    sides: str
    ours: str
    difference: str
    interval: str
    p: str
    effect: str
    visible: str
    paper: str
    verdict: str
    reason: str


class Mark(NamedTuple):
    """A claim on the axis of differences; places are percentages of its width."""

    name: str
    title: str
    at: str
    low: str
    high: str
    margin: str
    text: str
    kind: str


class Axis(NamedTuple):
    """The differences of all tested claims on one axis; ``ends`` are its ends in points."""

    marks: list[Mark]
    ends: tuple[str, str]


def claims_page(results: ClaimsResults) -> str:
    """Return the page.

    Args:
        results: What ``claims/results.json`` holds.
    """
    axis = _axis(results)
    return fill(
        "claims.html",
        what="claims",
        title=f"The paper's claims on {short(results.base.name, 80)}",
        lead=_lead(results),
        tiles=[Tile(v.capitalize(), str(n), "claims") for v, n in results.counts.items()],
        sections=sections(_SECTIONS, {"intervals": axis.marks}),
        missing=missing(results.missing, "root seed"),
        rows=[_row(claim) for claim in results.claims],
        axis=axis,
        notes=claims_notes(results),
        versions=list(results.versions.items()),
        keys=results.cells,
        footer="The numbers are in results.json beside this page.",
    )


def _lead(results: ClaimsResults) -> str:
    return (
        f"Base {short(results.base.name)} ({results.base.hash}), track {results.track}, preset "
        f"{results.preset}; {plural(len(results.seeds), 'root seed')}. Claims of arXiv 2406.12034, "
        "each with both sides on the same items."
    )


def _row(claim: TestedClaim) -> Row:
    return Row(
        claim.place,
        claim.id,
        claim.sentence,
        " over ".join(claim.sides),
        pair_text(claim.ours),
        "–" if claim.ours is None else change(claim.ours.difference),
        interval_text(claim),
        p_value(claim.p),
        decimal(claim.effect, 2),
        "–" if claim.smallest is None else percent(claim.smallest),
        pair_text(claim.paper),
        claim.verdict,
        claim.reason or "",
    )


def _axis(results: ClaimsResults) -> Axis:
    shown = [claim for claim in results.claims if claim.ours is not None]
    ends = [abs(end) for c in shown for end in (c.low, c.high, c.margin) if end is not None]
    furthest = max([_FURTHEST, *ends])
    text = percent(furthest, 0)
    return Axis(list(_marks(shown, furthest)), (f"−{text}", f"+{text}"))


def _marks(claims: list[TestedClaim], furthest: float) -> Iterator[Mark]:
    def place(value: float) -> str:
        return position(0.5 + value / furthest / 2)

    for claim in claims:
        assert claim.ours is not None
        value = claim.ours.difference
        low, high = claim.low, claim.high
        yield Mark(
            claim.id,
            f"{claim.sentence} {difference_text(claim)}: {claim.verdict}",
            place(value),
            place(value if low is None else low),
            place(value if high is None else high),
            place(claim.margin),
            claim.verdict,
            {"holds": "merge", "fails": "expert"}.get(claim.verdict, "base"),
        )
