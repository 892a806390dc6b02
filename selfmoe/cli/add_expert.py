"""``selfmoe add-expert``: one expert more for a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import names, runs

if TYPE_CHECKING:
    from rich.console import Console

    from selfmoe.api.growth import Growth


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=runs)
@click.argument("domain", shell_complete=names("domain"))
@click.option(
    "--router",
    "join",
    type=click.Choice(["refit", "extend"]),
    show_default="refit, or as it joined if it is there",
    help="refit: train the router anew on all data; extend: keep what it learnt bit for bit, and "
    "train the part of the new expert.",
)
@click.option("--systems", help="Comma-separated compositions it joins; default: all that route.")
@click.option(
    "--seeds",
    type=click.Path(path_type=Path),
    help="For a field without a plugin: JSONL or CSV file with instruction, input, response.",
)
@click.option("--description", default="", help="That field in a few words, for prompts.")
@click.option(
    "--benchmark",
    type=click.Path(path_type=Path),
    help="File of held-out tasks of that field, to score systems on.",
)
@click.option(
    "--adapter",
    type=click.Path(path_type=Path),
    help="PEFT LoRA folder to take as the expert, instead of training one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
def command(
    run: Path, domain: str, join: Any, systems: str | None, as_json: bool, **source: Any
) -> None:
    """Add an expert for DOMAIN to a finished RUN, and show what that changes.

    Only the new domain's data is generated and only its expert is trained; the former experts are
    not touched. The routed systems take it in, and the table compares them before and after on all
    domains. The same command goes on if it was interrupted.

    \b
    Examples:
      selfmoe add-expert runs/demo chemistry
      selfmoe add-expert runs/demo chemistry --router extend
      selfmoe add-expert runs/demo law --seeds law.jsonl --description "contract law"
      selfmoe add-expert runs/demo law --adapter adapters/law --systems mixse,ties
    """
    from selfmoe.api.growth import ExpertSource, add_expert
    from selfmoe.reporting.terminal.progress import output

    labels = options.listed(systems)
    growth = add_expert(run, domain, join=join, systems=labels, source=ExpertSource(**source))
    if as_json:
        click.echo(json.dumps(growth.record.to_json(), indent=1, ensure_ascii=False))
    else:
        _print(growth, output())


def _print(growth: Growth, console: Console) -> None:
    from selfmoe.reporting.terminal.changes import changes_legend, changes_table
    from selfmoe.reporting.terminal.narrow import print_table

    for system, changes in growth.systems.items():
        title = f"{system}: before and after '{growth.expert}' joined ({growth.join}), in %"
        print_table(changes_table(changes, title), console)
        console.print()
    console.print(changes_legend(growth.run.results), style="dim", markup=False)
    if growth.left:
        left = ", ".join(growth.left)
        console.print(
            f"Made of the former experts, as before: {left}. --systems makes others anew.",
            style="dim",
            markup=False,
        )
    page = growth.run.path / "report" / "index.html"
    console.print(f"Run: {growth.run.path}   Report: {page}", markup=False, soft_wrap=True)
