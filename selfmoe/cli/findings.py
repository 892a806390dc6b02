"""What a check of a machine or a plugin found, and findings as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        found: What is there.
        state: ``ok``, ``note`` or ``problem``.
        advice: What to do; empty if nothing.
    """

    check: str
    found: str
    state: Literal["ok", "note", "problem"] = "ok"
    advice: str = ""


STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what was looked at, what is there and what to do, one row each."""
    from rich.markup import escape
    from rich.table import Table

    from selfmoe.reporting.terminal.progress import output

    table = Table()
    for column in ("check", "found", "state", "what to do"):
        table.add_column(column, overflow="fold")
    for row in findings:
        state = f"[{STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.check, escape(row.found), state, escape(row.advice))
    output().print(table)
