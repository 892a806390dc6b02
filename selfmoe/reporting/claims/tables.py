"""The verdicts in the terminal: a claim a line, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from selfmoe.evaluation.contrasts import POWER
from selfmoe.reporting.claims.model import ClaimsResults, Pair, TestedClaim
from selfmoe.reporting.numbers import change, percent, plural
from selfmoe.reporting.terminal.narrow import print_table

COLUMNS = ("ours", "difference", "visible", "paper", "verdict")
"""What ``row_of`` holds, one name a column."""


def print_claims(results: ClaimsResults, console: Console) -> None:
    """Print the table and what must be known to read it, as wide as the console is."""
    print_table(claims_table(results), console, keys=2)
    console.print()
    for line in claims_notes(results):
        console.print(line, markup=False)


def claims_table(results: ClaimsResults) -> Table:
    """Return a line a claim: both sides, their difference, and the verdict."""
    table = Table(title="Claims, in % and points", title_justify="left")
    table.add_column("where", no_wrap=True)
    table.add_column("claim")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
    for claim in results.claims:
        table.add_row(claim.place, claim.sentence, *row_of(claim))
    return table


def row_of(claim: TestedClaim) -> list[str]:
    """Return both sides, difference with interval, smallest visible one, paper, and verdict."""
    visible = "–" if claim.smallest is None else percent(claim.smallest)
    return [pair_text(claim.ours), difference_text(claim), visible, pair_text(claim.paper),
            claim.verdict]  # fmt: skip


def pair_text(pair: Pair | None) -> str:
    """Return two shares in percent: ``54.3 / 52.4``."""
    return "–" if pair is None else f"{percent(pair.one)} / {percent(pair.other)}"


def difference_text(claim: TestedClaim) -> str:
    """Return the difference in points with its interval: ``+1.9 [-0.4, +4.2]``."""
    if claim.ours is None:
        return "–"
    return f"{change(claim.ours.difference)} {interval_text(claim)}"


def interval_text(claim: TestedClaim) -> str:
    """Return the interval of a difference in points: ``[-0.4, +4.2]``; empty without one."""
    if claim.low is None or claim.high is None:
        return ""
    return f"[{change(claim.low)}, {change(claim.high)}]"


def claims_notes(results: ClaimsResults) -> list[str]:
    """Return what a reader must know, then why claims have no verdict, then what is missing."""
    return [*_about(results), *_margins(results), *_untestable(results), *_missing(results)]


def _about(results: ClaimsResults) -> Iterator[str]:
    seeds = ", ".join(map(str, results.seeds))
    over = "items alone" if len(results.seeds) == 1 else "root seeds and items"
    yield "; ".join(f"{count} {verdict}" for verdict, count in results.counts.items()) + "."
    yield (
        f"Intervals: {percent(results.confidence, 0)} % for all {plural(results.tested, 'claim')} "
        f"together ({percent(results.level, 2)} % each), over {over} (root seed {seeds}), paired."
    )
    yield (
        f"Visible: the smallest difference that would have been seen with {percent(POWER, 0)} % "
        "probability. Paper: the paper's numbers, on other bases and benchmarks."
    )


def _margins(results: ClaimsResults) -> Iterator[str]:
    for margin in sorted({claim.margin for claim in results.claims if claim.margin}):
        yield (
            f"Claims that something is about as good, or kept, allow {percent(-margin, 0)} points: "
            "they hold if it is shown to lose less."
        )


def _untestable(results: ClaimsResults) -> Iterator[str]:
    for claim in results.claims:
        if claim.reason is not None:
            yield f"{claim.id}: {claim.verdict}: {claim.reason}."


def _missing(results: ClaimsResults) -> Iterator[str]:
    for seed, cells in results.missing.items():
        for name, why in cells.items():
            yield f"Failed: {name} (root seed {seed}): {why.partition(chr(10))[0]}"
