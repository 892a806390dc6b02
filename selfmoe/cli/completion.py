"""``selfmoe completion``: the tab key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL (bash, zsh or fish) complete selfmoe commands.

    Load it where the shell starts:

    \b
      bash: selfmoe completion bash > ~/.local/share/bash-completion/completions/selfmoe
      zsh:  selfmoe completion zsh > ~/.selfmoe.zsh; echo '. ~/.selfmoe.zsh' >> ~/.zshrc
      fish: selfmoe completion fish > ~/.config/fish/completions/selfmoe.fish

    \b
    Examples:
      selfmoe completion bash
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "selfmoe", "_SELFMOE_COMPLETE").source())
