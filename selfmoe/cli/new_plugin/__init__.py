"""``selfmoe new-plugin``: a plugin to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from selfmoe.cli import options
from selfmoe.cli.new_plugin.kinds import KINDS
from selfmoe.registry.inspection import Kind


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option(
    "--out",
    default=Path(),
    type=options.PathParam(file_okay=False),
    help="Where to put the new folder; default: here.",
)
@click.option(
    "--model",
    type=options.PathParam(file_okay=False, exists=True),
    help="For a base: folder of the model to copy; default: that of the installed default base.",
)
def command(kind: Kind, name: str, out: Path, model: Path | None) -> None:
    """Write a plugin to start from, that works and passes its tests.

    It is a distribution of its own, `selfmoe-KIND-NAME`: install it, and its component can be used
    in a run. Then make it yours.

    \b
    Examples:
      selfmoe new-plugin domain chemistry
      selfmoe new-plugin router nearest --out plugins
    """
    from selfmoe.cli.new_plugin.writing import new_plugin

    folder, names = new_plugin(kind, name, out, model)
    click.echo(f"Wrote {folder}. Next:\n")
    click.echo(f"  cd {shlex.quote(str(folder))}")
    click.echo("  pip install -e '.[test]'")
    click.echo("  pytest")
    click.echo(f"  selfmoe list-plugins --kind {kind}")
    click.echo(f"  {names.use}")
    click.echo(f"\nChange {names.package}/; selfmoe check-plugin . tells whether all is well.")
