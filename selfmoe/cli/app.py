"""The ``selfmoe`` command: its subcommands, and how errors end it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from importlib import import_module
from types import FrameType
from typing import Any

import click

from selfmoe import __version__
from selfmoe.cli.plain import speak_plainly
from selfmoe.contracts.errors import ConfigError, RunError, SelfmoeError, did_you_mean
from selfmoe.models.launched import number_of_processes, own_rank
from selfmoe.pipeline import interrupts

COMMANDS = {
    "doctor": "Check this machine: what works, what does not, and what to do about it.",
    "init": "Write a configuration with every setting explained.",
    "config": "Show complete settings, or the schema that editors complete them by.",
    "run": "Take a base model from seeds to an evaluated mixture.",
    "evaluate": "Score a base, and adapters on it, on benchmarks, without a run.",
    "status": "Show which parts of a run are done, to do, damaged or failed.",
    "compare": "Compare routers and merges on the experts of a run.",
    "compare-logs": "Compare two models item by item, by the samples that lm-eval or selfmoe kept.",
    "merge": "Merge LoRA adapters on their base into one model, or one adapter, without a run.",
    "claims": "Test the paper's claims on a run, each with a verdict.",
    "report": "Build the report of a run again: the page, its numbers, its figures.",
    "explain-data": "Show what an expert learned from, and the tokens where answers begin.",
    "explain-score": "Show every answer of an evaluation, and why it counts as it does.",
    "serve": "Serve the systems of a run to clients of OpenAI's protocol, and a page.",
    "chat": "Talk to a system of a run.",
    "generate": "Let a system of a finished run continue a prompt.",
    "export": "Write a system of a run for transformers, PEFT, MLX or llama.cpp.",
    "push": "Send an exported folder to the Hugging Face hub.",
    "lm-eval": "Run any task of lm-eval on a system of a run.",
    "add-expert": "Add an expert to a finished run, and show what that changes.",
    "remove-expert": "Take an expert out of a run.",
    "continual": "Let experts come to a run one by one, and measure every state.",
    "list-plugins": "Show every component, who provides it, and which plugins are broken.",
    "new-plugin": "Write a plugin to start from, that works and passes its tests.",
    "check-plugin": "Load a plugin in a process of its own and show all that is wrong with it.",
    "gc": "Delete what a run's present settings no longer need.",
    "completion": "Print the script that makes a shell complete selfmoe commands.",
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run; an unknown one ends with those there are."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            hint = did_you_mean(args[0], COMMANDS) or "."
            ctx.fail(f"no command named '{args[0]}'{hint} Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; deliberate errors become one message and exit code 1."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or interrupts.interrupted():
                click.echo(interrupts.SAID, err=True)
                ctx.exit(130)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
                _drop_output()
                error = RunError(f"cannot write what there is to say: {error.strerror}")
            if not isinstance(error, SelfmoeError):
                raise
            if ctx.params.get("debug"):
                _print_traceback(error)
            click.echo(f"Error: {error}", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="selfmoe")
@click.option(
    "--debug", is_flag=True, envvar="SELFMOE_DEBUG", help="Show where an error was raised."
)
def cli(debug: bool) -> None:
    """Turn one base LLM into a mixture of self-specialised LoRA experts."""
    _refuse_several(str(click.get_current_context().invoked_subcommand))


def _refuse_several(command: str) -> None:
    """Refuse several processes where there is nothing that they would share.

    Raises:
        ConfigError: In the first of them; the others end.
    """
    count = number_of_processes()
    if count == 1 or command == "run":
        return
    if own_rank() == 0:
        raise ConfigError(
            f"selfmoe {command} was started as {count} processes; only selfmoe run shares work\n"
            "  Start it without torchrun."
        )
    sys.exit(0)


def _drop_output() -> None:
    """Throw away what could not be written; Python would try again at the end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_traceback(error: BaseException) -> None:
    """Print where an error was raised, with what it was raised from even where that is hidden."""
    inner: BaseException | None = error
    while inner is not None:
        inner.__suppress_context__ = False
        inner = inner.__context__
    click.echo("".join(traceback.format_exception(error)), err=True)


def run() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _terminated)
    speak_plainly(sys.stdout, sys.stderr)
    cli(prog_name="selfmoe")


def _terminated(number: int, frame: FrameType | None) -> None:
    click.echo("\nTerminated; the same command goes on from here.", err=True)
    sys.exit(143)
