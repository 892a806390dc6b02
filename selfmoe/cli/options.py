"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from selfmoe.cli.completing import words
from selfmoe.contracts.paths import expand


class PathParam(click.Path):
    """A path, in which ``~`` and environment variables are expanded even where no shell did it."""

    def __init__(self, **checks: Any) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path that is meant."""
        return super().convert(expand(value), param, ctx)


PATH = PathParam()

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def device(default: str) -> Decorator:
    """Return ``--device``.

    Args:
        default: What happens without it, for the help.
    """
    return click.option(
        "--device",
        shell_complete=words("auto", "cpu", "cuda", "mps"),
        help=f"Where to run; default: {default}.",
    )


def dtype(default: str) -> Decorator:
    """Return ``--dtype``.

    Args:
        default: What happens without it, for the help.
    """
    return click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        help=f"Number format of the base; default: {default}.",
    )


def listed(text: str | None) -> list[str] | None:
    """Return names with commas between; ``None`` if nothing was said."""
    if text is None:
        return None
    return [name for part in text.split(",") if (name := part.strip())]


track: Decorator = click.option(
    "--track",
    shell_complete=words("mini", "benchmark"),
    help="mini (shipped, procedural) or benchmark (real benchmark files).",
)
data_dir: Decorator = click.option(
    "--data-dir", help="Folder of upstream benchmark files; without it the hub is asked."
)
