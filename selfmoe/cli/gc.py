"""``selfmoe gc``: deleting what a run no longer needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs

if TYPE_CHECKING:
    from selfmoe.store.directory import RunDirectory


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(run: Path, dry_run: bool, yes: bool) -> None:
    """Delete what a run's present settings no longer need.

    These are cells that neither the manifest nor the last command, comparison, claims or continual
    name, copies of damaged ones, and work left over. Going back to earlier settings makes them
    again.

    \b
    Examples:
      selfmoe gc runs/demo --dry-run
      selfmoe gc runs/demo --yes
    """
    from selfmoe.store.directory import directory_of

    directory = directory_of(run)
    directory.manifest()  # refuses what is no run before anything is written
    if dry_run:
        _show(directory)
        return
    with directory.writing():
        _collect(directory, yes)


def _show(directory: RunDirectory) -> int:
    """Print what there is to delete; return how many folders that is."""
    from selfmoe.store.garbage import find_garbage
    from selfmoe.store.status import bytes_text

    garbage = find_garbage(directory)
    for item in garbage:
        where = item.path.relative_to(directory.root)
        click.echo(f"{bytes_text(item.size):>10}  {item.why:<14}  {where}")
    total = bytes_text(sum(item.size for item in garbage))
    click.echo(f"{len(garbage)} folders, {total}." if garbage else "Nothing to delete.")
    return len(garbage)


def _collect(directory: RunDirectory, yes: bool) -> None:
    from selfmoe.contracts.errors import RunError
    from selfmoe.store.garbage import delete, find_garbage

    if not _show(directory):
        return
    if not yes and not _confirmed():
        click.echo("Nothing was deleted.")
        return
    for item in find_garbage(directory):
        try:
            delete(item)
        except OSError as error:
            raise RunError(f"cannot delete {item.path}: {error.strerror or error}") from None
    click.echo("Deleted.")


def _confirmed() -> bool:
    from selfmoe.contracts.errors import RunError

    try:
        return click.confirm("Delete them?")
    except click.Abort:
        raise RunError(
            "nobody answered, so nothing was deleted\n  --yes deletes without asking."
        ) from None
