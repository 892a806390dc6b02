"""The ``selfmoe`` command: its subcommands, and how errors end it."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any

import click

from selfmoe import __version__
from selfmoe.errors import SelfmoeError

COMMANDS = {
    "run": "Take a base model from seeds to an evaluated mixture.",
    "generate": "Let a system of a finished run continue a prompt.",
    "list-plugins": "Show every component, who provides it, and which plugins are broken.",
}
"""Command -> one line on it; its module has the same name and is imported when it is called."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of a user's way."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by name."""
        if name not in COMMANDS:
            return None
        module = import_module(f"selfmoe.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; deliberate errors become one message and exit code 1."""
        try:
            return super().invoke(ctx)
        except SelfmoeError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command goes on from here.", err=True)
            ctx.exit(130)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="selfmoe")
def cli() -> None:
    """Turn one base LLM into a mixture of self-specialised LoRA experts."""


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _terminated)
    cli(prog_name="selfmoe")


def _terminated(number: int, frame: FrameType | None) -> None:
    click.echo("\nTerminated; the same command goes on from here.", err=True)
    sys.exit(143)
