"""The command line, from click."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

import click

from _generate.markdown import block, code, paragraphs, plain, table


def reference(group: click.Group | None = None) -> str:
    """Return one section a command of ``group`` (default: ``selfmoe`` itself)."""
    if group is None:
        from selfmoe.cli.app import cli

        group = cli
    context = click.Context(group, info_name="selfmoe")
    return "\n".join([_options(group, context), *_commands(group, context)])


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inside = click.Context(command, info_name=name, parent=context)
        yield _section(command, inside)
        if isinstance(command, click.Group):
            yield from _commands(command, inside)


def _section(command: click.Command, context: click.Context) -> str:
    usage = f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    parts = [f"## `{context.command_path}`\n", *_prose(command.help or ""), block("text", usage)]
    return "\n".join([*parts, _options(command, context)])


def _prose(text: str) -> Iterator[str]:
    """Yield the parts of a help text; what click must not rewrap are examples, so shell code."""
    for part in paragraphs(inspect.cleandoc(text)):
        if not part.startswith("\b"):
            yield plain(part) + "\n"
            continue
        title, _, rest = part.removeprefix("\b").strip("\n").partition("\n")
        if title.startswith(" "):
            yield block("text", textwrap.dedent(f"{title}\n{rest}"))
        else:
            yield f"{plain(title)}\n"
            yield block("sh", textwrap.dedent(rest))


def _options(command: click.Command, context: click.Context) -> str:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(code(name), plain(text)) for name, text in filter(None, records)]
    return table(("option", "meaning"), rows)
