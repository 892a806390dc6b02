"""``selfmoe init``: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

import click

from selfmoe.cli import options


@click.command()
@click.argument("path", default="selfmoe.yaml", type=options.PATH)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(path: Path, force: bool) -> None:
    """Write a configuration to PATH with every setting explained.

    As written it asks for what `selfmoe run` does without one.

    \b
    Examples:
      selfmoe init
      selfmoe init experiments/math.yaml --force
    """
    from selfmoe.config.template import template
    from selfmoe.contracts.errors import ConfigError
    from selfmoe.store.files import write_atomic

    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file, such as {path / 'selfmoe.yaml'}")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; choose another name, or overwrite it with --force")
    write_atomic(path, template(str(path)), hint="; choose another place")
    click.echo(f"Wrote {path}. Change it, then: selfmoe run {path}")
