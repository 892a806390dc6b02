"""What became of a system, benchmark by benchmark, as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

Json = Mapping[str, Any]


def changes_table(changes: Json, title: str) -> Table:
    """Return benchmarks by before, after, change and p.

    Args:
        changes: What ``selfmoe.reporting.paired.changes`` measured.
        title: What it is about.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    for column in ("before", "after", "change", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, measures in changes.items():
        if name == "average":
            table.add_section()
        strict, loose = measures["score"], measures["lenient"]
        style = "bold" if name == "average" else ""
        table.add_row(escape(name), *_row(strict, loose), style=style)
    return table


def _row(strict: Json | None, loose: Json | None) -> list[str]:
    if strict is None:
        return ["–", "–", "–", "–"]
    found = [
        _percent(strict[when], None if loose is None else loose[when])
        for when in ("before", "after")
    ]
    half = None if strict["low"] is None else (strict["high"] - strict["low"]) / 2
    spread = "" if half is None else f" ±{100 * half:.1f}"
    return [*found, f"{100 * strict['difference']:+.1f}{spread}", _p(strict["p"])]


def _percent(value: float, lenient: float | None) -> str:
    return f"{100 * value:.1f}" + ("" if lenient is None else f" ({100 * lenient:.0f})")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def changes_legend(results: Json) -> str:
    """Return what a reader must know about the numbers.

    Args:
        results: The results of the run.
    """
    level = f"{100 * results['confidence']:.0f} %"
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"The same items before and after; ± half the {level} interval of the change over "
        f"{results['interval']} (root seed {seeds}), in points; p: two-sided.\n"
        "Strict: right and in the prescribed form. In brackets: right in any form."
    )
