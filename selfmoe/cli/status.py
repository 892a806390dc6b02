"""``selfmoe status``: how far a run is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs

if TYPE_CHECKING:
    from selfmoe.store.directory import RunDirectory
    from selfmoe.store.status import CellState, State

STATES: tuple[State, ...] = ("done", "to do", "damaged", "failed")


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option("--verify", is_flag=True, help="Also compare the sha256 of every file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, verify: bool, as_json: bool) -> None:
    """Show which parts of a run are done, to do, damaged or failed, and who is writing.

    Reads the run directory only; what is said is about the last command that wrote to it.

    \b
    Examples:
      selfmoe status runs/demo
      selfmoe status runs/demo --verify --json
    """
    from dataclasses import asdict

    from selfmoe.store.beside import BESIDE
    from selfmoe.store.directory import directory_of
    from selfmoe.store.status import cell_states, size_of

    directory = directory_of(run)
    cells = cell_states(directory, verify=verify)
    beside = {cls.NAME: cls(run) for cls in BESIDE}
    states = {k: cell_states(d, verify=verify) if d.plan() else [] for k, d in beside.items()}
    holder, size, problem = directory.holder(), size_of(run), directory.manifest_problem()
    if as_json:
        facts = {"run": str(run), "writing": holder, "bytes": size, "manifest": problem}
        lists = {"cells": cells, **states}
        rows = {key: [asdict(cell) for cell in found] for key, found in lists.items()}
        click.echo(json.dumps({**facts, **rows}, indent=1))
        return
    _print(directory, cells, holder, size, problem)
    for key, found in states.items():
        if found:
            _print_beside(key.capitalize(), found, beside[key].again)


def _print(
    directory: RunDirectory,
    cells: list[CellState],
    holder: str | None,
    size: int,
    problem: str | None,
) -> None:
    from rich.table import Table

    from selfmoe.reporting.terminal.narrow import print_table
    from selfmoe.reporting.terminal.progress import output
    from selfmoe.store.status import bytes_text

    console = output()
    title = f"{directory.KIND.split()[-1].capitalize()} {directory.root}"
    table = Table(title=title, title_justify="left")
    table.add_column("stage", no_wrap=True)
    for state in STATES:
        table.add_column(state, justify="right", no_wrap=True)
    for stage in dict.fromkeys(cell.stage for cell in cells):
        counts = Counter(cell.state for cell in cells if cell.stage == stage)
        table.add_row(stage, *(str(counts[state] or "–") for state in STATES))
    print_table(table, console)
    for cell in cells:
        if cell.state != "done" and cell.detail:
            line = f"{cell.state}: {cell.stage} {cell.label}: {cell.detail}"
            console.print(line, markup=False, soft_wrap=True)
    if problem:
        console.print(f"damaged: {problem}", markup=False, soft_wrap=True)
    done = sum(cell.state == "done" for cell in cells)
    console.print(f"{done} of {len(cells)} cells are done; {bytes_text(size)} on disk.")
    writer = f"Being written by {holder}." if holder else "Nobody is writing."
    whole = done == len(cells) and not problem
    after = "" if whole or holder else f" To go on: {directory.again}"
    console.print(f"{writer}{after}", markup=False)


def _print_beside(what: str, cells: list[CellState], again: str) -> None:
    from selfmoe.reporting.terminal.progress import output

    done = sum(cell.state == "done" for cell in cells)
    after = "" if done == len(cells) else f" To go on: {again}"
    text = f"{what}: {done} of {len(cells)} cells are done.{after}"
    output().print(text, markup=False, soft_wrap=True)
