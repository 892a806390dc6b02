"""Findings as a table."""

from __future__ import annotations

from collections.abc import Iterable

from selfmoe.doctor.finding import Finding

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what was looked at, what is there and what to do, one row each."""
    from rich.markup import escape
    from rich.table import Table

    from selfmoe.progress import output

    table = Table()
    for column in ("check", "found", "state", "what to do"):
        table.add_column(column, overflow="fold")
    for row in findings:
        state = f"[{STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.check, escape(row.found), state, escape(row.advice))
    output().print(table)
