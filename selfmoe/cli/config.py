"""``selfmoe config``: what the settings are, where each comes from, and what there may be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from selfmoe.cli.run import command as run_command
from selfmoe.cli.run import raw_settings


@click.group()
def command() -> None:
    """Show complete settings, or the schema that editors complete them by."""


def show(
    config: Path | None,
    assignments: tuple[str, ...],
    seeds: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Show the complete settings of a run and where each value comes from.

    Takes what `selfmoe run` takes, and does nothing.

    \b
    Examples:
      selfmoe config show
      selfmoe config show --preset paper --set brainstorm.n=500
      selfmoe config show --domains math --json
    """
    from selfmoe.config.origins import origins
    from selfmoe.config.resolve import resolve
    from selfmoe.config.yaml_text import settings_lines

    raw = raw_settings(config, assignments, seeds, flags)
    complete = resolve(raw, str(config or "settings"))
    found = origins(complete, raw, layers_of(config, assignments, seeds, flags))
    settings = complete.model_dump(mode="json")
    if as_json:
        dotted = {".".join(path): origin for path, origin in found.items()}
        click.echo(json.dumps({"settings": settings, "origins": dotted}, indent=1))
        return
    click.echo("\n".join(settings_lines(settings, found.__getitem__)))


def layers_of(
    config: Path | None,
    assignments: tuple[str, ...],
    seeds: str | None,
    flags: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return what each part of a command line asks for: file, every option, ``--set``."""
    none = dict.fromkeys(flags)
    layers = {}
    if config is not None:
        layers[f"file {config}"] = raw_settings(config, (), None, none)
    for key, value in raw_settings(None, (), seeds, flags).items():
        option = "--seeds" if key == "seed" and seeds is not None else f"--{key}"
        layers[option.replace("_", "-")] = {key: value}
    layers["--set"] = raw_settings(None, assignments, None, none)
    return layers


_OPTIONS = [param for param in run_command.params if param.name not in ("dry_run", "rates")]
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
command.add_command(
    click.Command("show", callback=show, params=[*_OPTIONS, _JSON], help=show.__doc__)
)


@command.command("schema")
def schema() -> None:
    """Print the JSON schema of the settings, with the options of all installed plugins.

    Editors with a YAML language server complete and check a file whose first line is
    `# yaml-language-server: $schema=selfmoe.config.schema.json`.

    \b
    Examples:
      selfmoe config schema > selfmoe.config.schema.json
    """
    from selfmoe.config.schema import settings_schema

    click.echo(json.dumps(settings_schema(), indent=1, ensure_ascii=False))
