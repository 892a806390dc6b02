"""``selfmoe chat``: talk to a system of a run in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs
from selfmoe.cli.generate import COLOURS

if TYPE_CHECKING:
    from selfmoe.outward.serve.talking import Talk


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@options.system("the only system that routes")
@options.placed_as_run
@options.trace
@options.max_new_tokens(256)
@options.seed
def command(
    run: Path,
    system: str | None,
    trace: bool,
    max_new_tokens: int,
    seed: int | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Talk to a system of a finished RUN.

    Lines are asked one by one; one that ends with a backslash goes on. /help shows what else there
    is: other systems, experts switched off, routing.

    \b
    Examples:
      selfmoe chat runs/demo
      selfmoe chat runs/demo --system mixse --trace
    """
    from selfmoe.cli.needs import needed
    from selfmoe.outward.opening import open_run

    needed("serve", "starlette")
    from selfmoe.outward.serve.systems import Systems
    from selfmoe.outward.serve.talking import Talk

    opened = open_run(run, seed, device=device, dtype=dtype)
    found = Systems(opened, opened.load_base())
    name = found.default() if system is None else found.named(system)
    talk = Talk(found, name, found.base.context, max_new_tokens)
    click.echo(f"{found.full(name)} answers; /help shows what else there is.", err=True)
    if trace:
        talk.order("/trace")
    for line in iter(_said, None):
        if line.strip() in ("/quit", "/exit"):
            break
        if line.strip():
            _answered(talk, line)


def _said() -> str | None:
    """Return what is said next; ``None`` at the end."""
    lines: list[str] = []
    while True:
        if sys.stdin.isatty():
            click.echo("... " if lines else "> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return "\n".join(lines) or None
        lines.append(line.rstrip("\r\n").removesuffix("\\"))
        if not line.rstrip("\r\n").endswith("\\"):
            return "\n".join(lines)


def _answered(talk: Talk, line: str) -> None:
    """Do what a line says, or print the answer to it; mistakes end neither."""
    from selfmoe.contracts.errors import SelfmoeError
    from selfmoe.outward.serve.failures import RefusalError
    from selfmoe.reporting.terminal.progress import output

    console = output()
    try:
        if line.startswith("/"):
            click.echo(talk.order(line.strip()), err=True)
            return
        for piece in talk.ask(line):
            _print(console, talk, piece.text, piece.expert)
        console.print()
        _legend(talk, console)
    except (SelfmoeError, RefusalError) as error:
        click.echo(f"Error: {error}", err=True)
    except KeyboardInterrupt:
        click.echo("", err=True)


def _print(console: Any, talk: Talk, text: str, expert: int | None) -> None:
    """Print a part of an answer in the colour of its expert; without colours after its name."""
    style = None if expert is None else COLOURS[expert % len(COLOURS)]
    if talk.traced and (console.color_system is None or console.no_color):
        name = "" if expert is None else talk.names[expert]
        text = f"{name:<12} {text!r}\n"
    console.print(text, style=style, end="", markup=False, soft_wrap=True)


def _legend(talk: Talk, console: Any) -> None:
    """Print whose colour is which."""
    for number, name in enumerate(talk.names if talk.traced else ()):
        console.print(f"{name} ", style=COLOURS[number % len(COLOURS)], end="")
    if talk.traced:
        console.print()
