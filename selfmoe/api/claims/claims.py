"""Testing claims: what is missing is made, then every claim gets its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from selfmoe.api.claims.claim import Claim, Side
from selfmoe.api.claims.plan import ClaimsPlan
from selfmoe.api.claims.question import ClaimsQuestion, plan_question
from selfmoe.api.claims.values import UntestableError, Values, sides_of
from selfmoe.contracts.errors import DataError
from selfmoe.evaluation.contrasts import contrast
from selfmoe.evaluation.verdicts import verdict
from selfmoe.pipeline.execute import fill, manifest_of
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.session import Session
from selfmoe.reporting.claims.model import ClaimsResults, Pair, TestedClaim
from selfmoe.reporting.claims.page import claims_page
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.beside import ClaimsDirectory
from selfmoe.store.manifest import Manifest


@dataclass(frozen=True)
class TestedClaims:
    """What came of claims.

    Attributes:
        directory: Where it lies.
        results: What ``claims/results.json`` holds.
        outcome: What was done now.
    """

    __test__ = False  # pytest must not take it for a test

    directory: ClaimsDirectory
    results: ClaimsResults
    outcome: Outcome


def claims(
    run: str | Path | None = None,
    *,
    base: str | None = None,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    settings: Mapping[str, object] | None = None,
    display: Display | None = None,
) -> TestedClaims:
    """Test the paper's claims on a run, and return the verdicts; nothing is done twice.

    Args:
        run: The run's folder. Without it, one is made of ``base``.
        base: The base of a run that is to be made, by its own preset for claims if it has one.
        seeds: Root seeds; default: those of the run, or 0.
        only: Claims by id, or all of a table or figure: ``table1``, ``figure3``, ``review``.
        settings: Settings that are to be other than in the run, as in YAML.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If the run, the settings or a name is wrong, or something could not be made.
            What was finished is kept, and what could be tested is in ``claims/results.json``.
    """
    question = ClaimsQuestion(
        run=None if run is None else Path(run),
        base=base,
        seeds=None if seeds is None else tuple(seeds),
        only=None if only is None else tuple(only),
        settings=dict(settings or {}),
    )
    shown = display or Display()
    made = carry_out(plan_question(question, shown), shown)
    made.outcome.raise_failures()
    return made


def carry_out(plan: ClaimsPlan, display: Display) -> TestedClaims:
    """Do what a plan says; write the verdicts on what could be done, and a page of them."""
    directory = plan.directory
    with directory.writing():
        directory.write_plan(plan.rows)
        outcome = _fill(plan, Session(plan.config, plan.base, display))
        manifest = manifest_of(plan, outcome)
        directory.write_manifest(manifest)
        results = collect(plan, manifest)
        directory.write_found(results, claims_page(results))
    return TestedClaims(directory, results, outcome)


def _fill(plan: ClaimsPlan, session: Session) -> Outcome:
    """Fill the cells of all plans; data that a variant lacks stops that variant alone."""
    whole = Outcome()
    for name, one in plan.seeds.items():
        try:
            part = fill(one.tasks, session.under(one.config))
        except DataError as error:
            if name.isdigit():
                raise
            whole.failed += [(task, error) for task in one.tasks if task.problem()][:1]
            continue
        whole.add(part)
    return whole


def collect(plan: ClaimsPlan, manifest: Manifest) -> ClaimsResults:
    """Return the verdicts on all claims of a plan, from the cells that are there."""
    config = plan.config
    return ClaimsResults(
        format=ClaimsResults.FORMAT,
        base=manifest.base,
        track=config.track,
        preset=str(config.preset),
        seeds=config.root_seeds,
        confidence=config.report.confidence,
        tested=len(plan.tested),
        level=plan.level,
        claims=[judged(plan, claim) for claim in plan.claims],
        missing=manifest.missing,
        versions=manifest.versions,
        cells=[cell.key for _, cell in manifest.all_cells()],
    )


def judged(plan: ClaimsPlan, claim: Claim) -> TestedClaim:
    """Return a claim with its verdict."""
    why = plan.untestable.get(claim.id)
    if why is None:
        try:
            return _compared(plan, claim, sides_of(plan, claim))
        except UntestableError as error:
            why = str(error)
    return TestedClaim(**_about(claim, plan), verdict="not testable", reason=why)


def _compared(
    plan: ClaimsPlan, claim: Claim, sides: Sequence[tuple[Values, Values]]
) -> TestedClaim:
    """Return a claim with the verdict that both its sides give, by root seed."""
    differences = [
        {n: [one[n][i] - other[n][i] for i in items] for n, items in one.items()}
        for one, other in sides
    ]
    found = contrast(differences, plan.level, claim.margin)
    return TestedClaim(
        **_about(claim, plan),
        ours=Pair(one=_mean([one for one, _ in sides]), other=_mean([two for _, two in sides])),
        verdict=verdict(found, claim.margin, plan.level),
        low=found.low,
        high=found.high,
        p=found.p,
        effect=found.effect,
        smallest=found.smallest,
        items=found.items,
        benchmarks=list(differences[0]),
        over=found.over,
    )


def _mean(sides: Sequence[Values]) -> float:
    """Return the mean over benchmarks of the means over items, over all seeds."""
    return fmean(fmean(fmean(items.values()) for items in side.values()) for side in sides)


def _about(claim: Claim, plan: ClaimsPlan) -> dict[str, Any]:
    paper = claim.paper
    return {
        "id": claim.id,
        "place": claim.place,
        "sentence": claim.sentence,
        "sides": [_words(side, plan) for side in claim.sides],
        "margin": claim.margin,
        "paper": None if paper is None else Pair(one=paper[0], other=paper[1]),
    }


_WORDS = {
    "home": "expert at home",
    "away": "experts away",
    "best": "best expert of each",
    "own": "weight of own expert",
    "strongest": "of strongest other",
    "named": "own expert has most",
    "steady": "same expert has most",
}


def _words(side: Side, plan: ClaimsPlan) -> str:
    """Return what a side is, by the names that the run has for it."""
    if side.kind == "constant":
        return "chance" if side.value is None else f"{side.value:g}"
    part = plan.cast.of(side.system) if side.kind == "answers" else None
    name = side.system if isinstance(part, str) else _WORDS.get(side.kind, "")
    name = part.system.name if part is not None and not isinstance(part, str) else name
    varied = ", ".join(filter(None, side.variants))
    return f"{name} ({varied})" if varied else name
