"""The claims that `selfmoe claims` tests, as they stand in the code."""

from __future__ import annotations

import json

from _generate.markdown import as_on_pages, code, table
from _generate.seedling import ROOT
from selfmoe.api.claims.claim import Claim, Scope, Side
from selfmoe.api.claims.paper import CLAIMS
from selfmoe.reporting.claims.model import ClaimsResults
from selfmoe.reporting.claims.tables import COLUMNS, row_of
from selfmoe.reporting.numbers import percent, points

_KINDS = {
    "home": "the expert of the item's domain",
    "away": "the other experts, on average",
    "best": "the best single expert of each benchmark",
    "own": "weight of the expert of the item's domain",
    "strongest": "weight of the strongest other expert",
    "named": "share of items whose own expert has the most weight",
    "steady": "share of items that keep their expert in other words",
}

_SCOPES: dict[Scope, str] = {
    "targets": "targets",
    "non-targets": "non-targets",
    "lacking": "the domain without an expert",
    "shown": "targets with solved examples",
    "untouched": "items that share no 8 words in a row with the data",
}


def claims() -> str:
    """Return a row a claim: where it is from, what it compares, what the paper has."""
    head = ("id", "where", "claim", "above", "below", "on", "margin", "paper")
    return table(head, [_row(claim) for claim in CLAIMS])


def tested(file: str = "claims") -> str:
    """Return the verdicts of a file in ``results/``, and how many there are of each."""
    content = (ROOT / "results" / f"{file}.json").read_bytes()
    results = ClaimsResults.model_validate_json(content)
    rows = [[code(one.id), *as_on_pages(row_of(one))] for one in results.claims]
    counts = ", ".join(f"{number} {verdict}" for verdict, number in results.counts.items())
    return f"{table(['id', *COLUMNS], rows)}\n{counts}.\n"


def planted(file: str = "planted") -> str:
    """Return what was made of claims whose truth is known."""
    found = json.loads((ROOT / "results" / f"{file}.json").read_text("utf-8"))
    verdicts = ("holds", "fails", "undecided")
    head = ("claim", "true", "effect", "visible", *verdicts)
    rows = [
        (
            code(row["claim"]),
            "yes" if row["true"] else "no",
            points(row["effect"], 0.0),
            percent(row["smallest"]),
            *(str(row["verdicts"].get(verdict, 0)) for verdict in verdicts),
        )
        for row in found["claims"]
    ]
    return table(head, rows)


def _row(claim: Claim) -> tuple[str, ...]:
    paper = claim.paper
    return (
        code(claim.id),
        claim.place,
        claim.sentence,
        _words(claim.one),
        _words(claim.other),
        _SCOPES[claim.on],
        f"{percent(-claim.margin, 0)} points" if claim.margin else "",
        "" if paper is None else f"{percent(paper[0])} / {percent(paper[1])}",
    )


def _words(side: Side) -> str:
    if side.kind == "constant":
        return "chance" if side.value is None else f"{side.value:g}"
    named = _KINDS.get(side.kind, code(side.system))
    varied = [name for name in side.variants if name]
    if len(varied) > 1:
        return f"{named}, over {len(varied)} lists of examples"
    return f"{named}, {code(varied[0])}" if varied else named
