"""``selfmoe push``: an exported folder to the hub."""

from __future__ import annotations

from pathlib import Path

import click

from selfmoe.cli import options


@click.command()
@click.argument("folder", type=options.PATH)
@click.argument("repository")
@click.option("--public", is_flag=True, help="Make a repository that everybody sees.")
def command(folder: Path, repository: str, public: bool) -> None:
    """Send an exported FOLDER to REPOSITORY (user/name) of the Hugging Face hub.

    The token is that of the environment variable HF_TOKEN. A repository that is not there is made,
    as a private one unless told otherwise; its kind, model or dataset, is that of the folder.

    \b
    Examples:
      selfmoe push exported/mixse me/math-and-code
      selfmoe push exported/data me/math-and-code-data --public
    """
    from selfmoe.outward.export.push import licensed, push_folder
    from selfmoe.reporting.terminal.progress import output

    url = push_folder(folder, repository, private=not public)
    console = output()
    console.print(f"Pushed: {url}", markup=False, soft_wrap=True)
    if not licensed(folder):
        note = "The card names no licence, for the base's files tell none; look it up and add it."
        console.print(note, markup=False, soft_wrap=True)
