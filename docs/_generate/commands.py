"""The command line, from click."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

import click

from _generate.markdown import block, code, paragraphs, plain, said, table


def reference(group: click.Group | None = None) -> str:
    """Return one section a command of ``group`` (default: ``selfmoe`` itself)."""
    if group is None:
        from selfmoe.cli.app import cli

        group = cli
    context = click.Context(group, info_name="selfmoe")
    return "\n".join(
        [_overview(group, context), _options(group, context), *_commands(group, context)]
    )


def _overview(group: click.Group, context: click.Context) -> str:
    """Return one row a command, with a link to its section."""
    rows = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        said(command.help, f"{context.command_path} {name}")
        about = plain(command.get_short_help_str(limit=200))
        rows.append(
            (f"[{code(f'{context.command_path} {name}')}](#{context.command_path}-{name})", about)
        )
    return table(("command", "what it does"), rows)


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
    parts = [f"## `{context.command_path}`\n", block("text", usage), *_prose(command.help or "")]
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
    """Return the options; what an argument is, the help text says."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    rows = []
    for option in options:
        if record := option.get_help_record(context):  # none of what is hidden
            said(option.help, f"{context.command_path} {record[0]}")
            rows.append((code(record[0]), plain(record[1])))
    return table(("option", "meaning"), rows) if rows else ""
