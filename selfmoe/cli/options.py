"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from selfmoe.cli.completing import words

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
