"""``selfmoe report``: build the report of a run again."""

from __future__ import annotations

from pathlib import Path

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option("--figures/--no-figures", default=True, help="Also write PNG and PDF files.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def command(run: Path, figures: bool, show: bool) -> None:
    """Build the report of RUN again from its cells: results.json, index.html, figures.

    No model is loaded. The page is one file that needs no network; it can be sent to others.

    \b
    Examples:
      selfmoe report runs/demo
      selfmoe report runs/demo --open
    """
    from selfmoe.reporting.report import write_figures, write_report
    from selfmoe.reporting.terminal.progress import output

    page = write_report(run, again=True)
    console = output()
    if figures:
        files = write_figures(run)
        folder = run / "report" / "figures"
        console.print(f"Figures: {folder} ({len(files)} files)", markup=False, soft_wrap=True)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
    if show:
        click.launch(page.resolve().as_uri())
