"""``selfmoe doctor``: what works on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check this machine: what works, what does not, and what to do about it.

    Ends with 1 if something makes `selfmoe run` impossible, else with 0.

    \b
    Examples:
      selfmoe doctor
      selfmoe doctor --json
    """
    from selfmoe.doctor import examine

    findings = list(examine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
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
    if any(finding.state == "problem" for finding in findings):
        ctx.exit(1)
