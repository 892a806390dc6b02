"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from selfmoe.cli.completing import systems, words
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


def _placed(device: str, dtype: str) -> Decorator:
    """Return ``--device`` and ``--dtype``; the help says what happens without them."""
    where = click.option(
        "--device",
        shell_complete=words("auto", "cpu", "cuda", "mps"),
        help=f"Where to run; default: {device}.",
    )
    how = click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        help=f"Number format of the base; default: {dtype}.",
    )
    return lambda command: where(how(command))


placed: Decorator = _placed(
    "auto, the fastest there is", "auto, bfloat16 where the device multiplies in it, else float32"
)
"""``--device`` and ``--dtype`` of commands that bring settings of their own."""
placed_as_run: Decorator = _placed("as the run's settings say", "as the run's settings say")
"""``--device`` and ``--dtype`` of commands that load what a run made."""
seed: Decorator = click.option(
    "--seed", type=int, help="Root seed of the pipeline; default: the run's first."
)
trace: Decorator = click.option(
    "--trace", is_flag=True, help="Show which expert each token went to."
)


def system(default: str) -> Decorator:
    """Return ``--system``.

    Args:
        default: What is taken without it, for the help.
    """
    return click.option(
        "--system",
        shell_complete=systems,
        help=f"A system of the run; default: {default}.",
    )


def max_new_tokens(default: int) -> Decorator:
    """Return ``--max-new-tokens``.

    Args:
        default: The longest answer without it, in tokens.
    """
    return click.option(
        "--max-new-tokens",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="Longest answer, in tokens.",
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
