"""``selfmoe export``: a system of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs, systems
from selfmoe.outward.export import FORMATS


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.argument("system", shell_complete=systems)
@click.argument("out", type=options.PATH)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="hf",
    show_default=True,
    help="hf: a model for transformers. peft, mlx, gguf: an adapter, of an expert or a merge. "
    "dataset: what the experts learned from.",
)
@click.option(
    "--base-weights",
    type=click.Choice(["copy", "reference"]),
    default="copy",
    show_default=True,
    help="Of a router in hf: copy the base's weights, or name where they are.",
)
@click.option(
    "--rank",
    type=click.IntRange(min=1),
    help="Rank of the adapter at the most; default: as it is, or 32 where a merge is of full rank.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Load what was written, and compare its logits with the system's.",
)
@options.placed_as_run
@options.seed
def command(run: Path, system: str, out: Path, **wishes: Any) -> None:
    """Write SYSTEM of a finished RUN to the folder OUT, which other programs load without selfmoe.

    A router becomes a model of transformers that brings the file which computes it
    (trust_remote_code=True). A merge becomes a plain model, an expert or a merge an adapter. OUT
    must not be there, or be empty; a card in it says what it holds.

    \b
    Examples:
      selfmoe export runs/demo mixse exported/mixse
      selfmoe export runs/demo expert-math exported/math --format peft
      selfmoe export runs/demo ties exported/ties --format gguf --rank 64
      selfmoe export runs/demo mixse exported/data --format dataset
    """
    from selfmoe.api.export import export
    from selfmoe.reporting.terminal.progress import output

    made = export(run, system, out, **wishes)
    output().print(f"Exported: {made}   Card: {made / 'README.md'}", markup=False, soft_wrap=True)
