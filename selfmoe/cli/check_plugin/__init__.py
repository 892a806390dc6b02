"""``selfmoe check-plugin``: all that is wrong with a plugin."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.argument("plugin", metavar="PATH_OR_NAME")
@click.option(
    "--timeout",
    default=30.0,
    type=click.FloatRange(min=1),
    show_default=True,
    help="Seconds an entry point may take to load.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, plugin: str, timeout: float, as_json: bool) -> None:
    """Load a plugin in a process of its own and show all that is wrong with it.

    PATH_OR_NAME is the folder of a distribution (with its pyproject.toml), a package, a .py file,
    or the name of an installed distribution or entry point. A problem is what selfmoe or the
    contract tests refuse, a note what they put up with. Ends with 1 if there is a problem.

    \b
    Examples:
      selfmoe check-plugin domain-math
      selfmoe check-plugin base-seedling --timeout 60 --json
    """
    from selfmoe.cli.check_plugin.checks import check
    from selfmoe.cli.findings import print_findings
    from selfmoe.contracts.errors import counted

    verdict = check(plugin, timeout)
    problems, notes = verdict.count("problem"), verdict.count("note")
    if as_json:
        facts = {
            "plugin": verdict.name,
            "ok": problems == 0,
            "components": [{"kind": kind, "name": name} for kind, name in verdict.components],
            "findings": [asdict(finding) for finding in verdict.findings],
        }
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        print_findings(verdict.findings)
        said = f"{counted(problems, 'problem')}, {counted(notes, 'note')}"
        click.echo(f"{verdict.name}: {'ok' if not problems + notes else said}")
    if problems:
        ctx.exit(1)
