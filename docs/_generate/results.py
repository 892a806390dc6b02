"""Tables from the committed results of the demo, and of what the tutorial adds to it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from selfmoe.contracts.names import BenchmarkName
from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.tables import print_comparison
from selfmoe.reporting.model import BenchmarkScore, GrowthResults, RunResults
from selfmoe.reporting.numbers import percent
from selfmoe.reporting.terminal.changes import changes_legend, changes_table
from selfmoe.reporting.terminal.progress import duration
from selfmoe.reporting.terminal.tables import print_results

FOLDER = Path(__file__).parents[2] / "results"
COMPARED = FOLDER / "compare.json"
"""What ``selfmoe compare`` found on the demo; not made yet where there is no such file."""


R = TypeVar("R", RunResults, ComparisonResults, GrowthResults)


def parse(cls: type[R], path: Path) -> R:
    """Return what a file of ``results/`` holds."""
    return cls.model_validate_json(path.read_bytes())


def read(name: str = "demo") -> RunResults:
    """Return the results of a run in ``results/``; by default those of the demo."""
    return parse(RunResults, FOLDER / f"{name}.json")


def demo_tables() -> str:
    """Return the tables as they appear at the end of ``make demo``."""
    return _printed(print_results, read(), 118)


def compared_tables() -> str:
    """Return the tables of ``selfmoe compare`` on the demo, once there are any."""
    if not COMPARED.exists():
        return ""
    return _printed(print_comparison, parse(ComparisonResults, COMPARED), 120)


def added_tables(name: str = "rows") -> str:
    """Return what ``selfmoe add-expert`` ends with; by default that of the tutorial."""
    return _printed(_show_added, parse(GrowthResults, FOLDER / f"{name}.json"), 118)


def _show_added(growth: GrowthResults, console: Console) -> None:
    for system, changes in growth.systems.items():
        joined = f"'{growth.expert}' joined ({growth.router})"
        console.print(changes_table(changes, f"{system}: before and after {joined}, in %"))
    console.print(changes_legend(growth.results))


def _printed(show: Callable[[R, Console], None], results: R, width: int) -> str:
    file = io.StringIO()
    show(results, Console(file=file, width=width, highlight=False, color_system=None))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```\n"


def base_table() -> str:
    """Return what the base can do with and without solved examples."""
    results = read()
    bare, shown = (system.scores for system in results.systems[:2])
    (data,) = results.data.values()
    lines = [
        "| domain | n | bare prompt, strict / lenient | 5 examples, strict / lenient "
        "| texts written, kept |",
        "|---|---|---|---|---|",
    ]
    for name, score in bare.items():
        domain, few = BenchmarkName.parse(name).domain, shown[name]
        counts = data[domain]
        lines.append(
            f"| {domain} | {score.n} | {_pair(score)} | {_pair(few)} "
            f"| {counts.written}, {counts.kept} |"
        )
    return "\n".join(lines) + "\n"


def _pair(score: BenchmarkScore) -> str:
    return f"{percent(score.value, 0)} / {percent(score.lenient, 0)} %"


def demo_sizes() -> str:
    """Return how much the demo does and how long it took, as one sentence."""
    results = read()
    (data,) = results.data.values()
    items = next(iter(results.systems[0].scores.values())).n
    return (
        f"The {len(results.systems)} systems below were made from "
        f"{sum(counts.kept for counts in data.values())} examples in {len(data)} domains and "
        f"asked {items} items a domain; all of it took "
        f"{duration(sum(results.seconds.values()))} on one of two cores, beside other work.\n"
    )
