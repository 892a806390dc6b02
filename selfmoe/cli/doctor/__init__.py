"""``selfmoe doctor``: what works on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


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
    from selfmoe.cli.doctor.examine import examine

    findings = list(examine())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        from selfmoe.cli.findings import print_findings

        print_findings(findings)
    if any(finding.state == "problem" for finding in findings):
        ctx.exit(1)
