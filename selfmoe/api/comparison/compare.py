"""Doing a comparison: what is missing is composed, evaluated and counted, then put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from selfmoe.api.comparison.plan import ComparisonPlan, Question, plan_comparison
from selfmoe.contracts.paths import expand
from selfmoe.pipeline.execute import fill, manifest_of
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.session import Session
from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.page import comparison_page
from selfmoe.reporting.comparison.results import collect_comparison
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.beside import ComparisonDirectory


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        directory: Where it lies.
        results: What ``comparison/results.json`` holds.
        outcome: What was done now.
    """

    directory: ComparisonDirectory
    results: ComparisonResults
    outcome: Outcome


def compare(question: Question, *, display: Display | None = None) -> Comparison:
    """Answer a question about a run, and return the numbers; nothing is done twice.

    Args:
        question: What to compare, on which run.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If the run or the question is wrong, or a composer failed. What was finished
            is kept.
    """
    question = replace(question, run=expand(question.run))
    made = carry_out(plan_comparison(question), display or Display())
    made.outcome.raise_failures()
    return made


def carry_out(plan: ComparisonPlan, display: Display) -> Comparison:
    """Do what a plan says; write the numbers of what could be done, and a page of them."""
    directory = plan.directory
    with directory.writing():
        directory.write_plan(plan.rows)
        outcome = fill(plan.tasks, Session(plan.config, plan.base, display))
        directory.write_manifest(manifest_of(plan, outcome, plan.no_composers))
        results = collect_comparison(directory.root, plan.config, plan.first.root)
        directory.write_found(results, comparison_page(results))
    return Comparison(directory, results, outcome)
