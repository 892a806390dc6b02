"""``selfmoe explain-data``: what an expert learned from, and the tokens where answers begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import domains, runs

if TYPE_CHECKING:
    from selfmoe.reporting.learned import Learned

_TAIL = 6
"""Tokens of the prompt's end that are shown."""


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.argument("domain", shell_complete=domains)
@click.option("--id", "wanted", multiple=True, help="Only this example; may be repeated.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Examples at most."
)
@options.seed
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole prompts.")
def command(
    run: Path, domain: str, wanted: tuple[str, ...], limit: int, seed: int | None, as_json: bool
) -> None:
    """Show what the expert of DOMAIN learned from: tasks, answers, and their tokens.

    An answer is learned as the tokens that the base wrote it with, whitespace included. They are
    shown as they stand behind the last tokens of the prompt, parted by bars; no model is loaded.

    \b
    Examples:
      selfmoe explain-data runs/demo knowledge --limit 3
      selfmoe explain-data runs/demo math --id math-0-17 --json
    """
    from dataclasses import asdict

    from selfmoe.contracts.errors import unknown_name
    from selfmoe.reporting.learned import examples_of, learned

    tokenizer, template, examples = examples_of(run, domain, seed)
    known = {example.id: example for example in examples}
    for name in wanted:
        if name not in known:
            raise unknown_name("example", name, known)
    chosen = [known[name] for name in wanted] or examples[:limit]
    found = [learned(example, tokenizer, template) for example in chosen]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        click.echo(_shown(one))
    click.echo(f"\n{len(found)} of {len(examples)} examples of '{domain}'.")


def _shown(one: Learned) -> str:
    example, origin = one.example, "as the base wrote them" if one.written else "encoded anew"
    lines = [f"\nexample    {_text(example.id)}", f"task       {_text(example.instruction)}"]
    lines += [f"input      {_text(example.input)}"] if example.input else []
    lines += [
        f"answer     {_text(example.response)}",
        f"prompt   … {_tokens(one.prompt[-_TAIL:])}",
        f"learned    {_tokens(one.target)}",
        f"           {len(one.target)} tokens, {origin}; the last one ends the text",
    ]
    for name, ids in (("after", example.seeds), ("solved", example.solved)):
        lines += [f"{name:10} {_text(', '.join(ids))}"] if ids else []
    return "\n".join(lines)


def _tokens(texts: tuple[str, ...]) -> str:
    """Return tokens parted by bars, with spaces and ends of lines to be seen."""
    marked = [text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") for text in texts]
    return _text("|".join(marked))


def _text(text: str) -> str:
    from selfmoe.reporting.visible import visible

    return str(visible(text)).replace("\n", "\n           ")
