"""What became of a system, benchmark by benchmark, as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from selfmoe.reporting.model import Change, Changes, RunResults
from selfmoe.reporting.numbers import change, margin, p_value, percent, score_text


def changes_table(changes: Mapping[str, Changes], title: str) -> Table:
    """Return benchmarks by before, after, change and p.

    Args:
        changes: What ``selfmoe.reporting.paired.changes`` measured, by benchmark.
        title: What it is about.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    for column in ("before", "after", "change", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, measures in changes.items():
        if name == "average":
            table.add_section()
        style = "bold" if name == "average" else ""
        table.add_row(escape(name), *_row(measures.score, measures.lenient), style=style)
    return table


def _row(strict: Change | None, loose: Change | None) -> list[str]:
    if strict is None:
        return ["–", "–", "–", "–"]
    return [
        score_text(strict.before, None if loose is None else loose.before),
        score_text(strict.after, None if loose is None else loose.after),
        f"{change(strict.difference)}{margin(strict.low, strict.high)}",
        p_value(strict.p),
    ]


def changes_legend(results: RunResults) -> str:
    """Return what a reader must know about the numbers.

    Args:
        results: The results of the run.
    """
    level = f"{percent(results.confidence, 0)} %"
    seeds = ", ".join(map(str, results.seeds))
    return (
        f"The same items before and after; ± half the {level} interval of the change over "
        f"{results.interval} (root seed {seeds}), in points; p: two-sided.\n"
        "Strict: right and in the prescribed form. In brackets: right in any form."
    )
