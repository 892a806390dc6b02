"""``selfmoe list-plugins``: who provides what, and what is broken."""

from __future__ import annotations

import json
from typing import Any

import click

from selfmoe.registry.registry import KINDS, registry

SLOW_S = 1.0
"""Seconds of importing above which a plugin's time is shown: all commands wait for it."""


@click.command()
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only components of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, as_json: bool) -> None:
    """Show every component, who provides it, and which plugins are broken.

    \b
    Examples:
      selfmoe list-plugins
      selfmoe list-plugins --kind router --json
    """
    rows = [row for row in rows_of() if kind in (None, row["kind"]) or row["status"] == "broken"]
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from selfmoe.reporting.terminal.progress import output

    table = Table()
    for column in ("kind", "name", "what it is", "distribution", "version", "status"):
        table.add_column(column, overflow="fold")
    for row in rows:
        status = "ok" if row["status"] == "ok" else f"broken: {row['reason']}"
        if row["seconds"] > SLOW_S:
            status += f" (takes {row['seconds']:.1f} s to import)"
        summary = row["summary"].replace("`", "")
        values = (row["kind"], row["name"], summary, row["distribution"], row["version"])
        style = "" if row["status"] == "ok" else "red"
        table.add_row(*(escape(value) for value in values), escape(status), style=style)
    output().print(table)


def rows_of() -> list[dict[str, Any]]:
    """Return one row a component, then one a broken plugin."""
    found = registry()
    rows = [
        {
            "kind": entry.kind,
            "name": entry.cls.name,
            "summary": entry.cls.summary(),
            "reference_url": entry.cls.reference_url,
            "distribution": entry.plugin.distribution,
            "version": entry.plugin.version,
            "plugin": entry.plugin.name,
            "status": "ok",
            "reason": "",
            "seconds": round(entry.plugin.seconds, 3),
        }
        for entry in found.entries()
    ]
    broken = [
        {
            "kind": "plugin",
            "name": plugin.name,
            "summary": "",
            "reference_url": "",
            "distribution": plugin.distribution,
            "version": plugin.version,
            "plugin": plugin.name,
            "status": "broken",
            "reason": plugin.reason,
            "seconds": round(plugin.seconds, 3),
        }
        for plugin in found.plugins
        if not plugin.ok
    ]
    return rows + broken
