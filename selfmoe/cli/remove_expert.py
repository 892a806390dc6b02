"""``selfmoe remove-expert``: one expert less."""

from __future__ import annotations

from pathlib import Path

import click

from selfmoe.cli.completing import runs


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=runs)
@click.argument("expert")
def command(run: Path, expert: str) -> None:
    """Take EXPERT out of a finished RUN, with its domain and from all systems.

    Nothing is deleted (selfmoe gc does that), and what the run held before the expert was added is
    found again as it was. Systems that never were without the expert are made anew.

    \b
    Examples:
      selfmoe remove-expert runs/demo chemistry
    """
    from selfmoe.api.growth import remove_expert
    from selfmoe.reporting.terminal.progress import output
    from selfmoe.reporting.terminal.tables import print_results

    finished = remove_expert(run, expert)
    console = output()
    print_results(finished.results, console)
    page = finished.path / "report" / "index.html"
    console.print(f"Run: {finished.path}   Report: {page}", markup=False, soft_wrap=True)
