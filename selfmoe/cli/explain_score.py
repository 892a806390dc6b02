"""``selfmoe explain-score``: every answer, what was made of it, and why it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfmoe.cli import options
from selfmoe.cli.completing import benchmarks, runs, systems
from selfmoe.reporting.numbers import percent

if TYPE_CHECKING:
    from selfmoe.reporting.explain import Explanation, ItemVerdict

_TAIL = 3
"""Lines at the end of a prompt that are shown, empty ones aside."""
_LONGEST = 2000
"""Characters of a text that are shown."""


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.argument("system", shell_complete=systems)
@click.argument("benchmark", shell_complete=benchmarks)
@click.option("--wrong", is_flag=True, help="Only items that do not score 1.")
@click.option("--limit", type=click.IntRange(min=1), help="Items at the most, from the front.")
@options.seed
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole prompts.")
def command(
    run: Path,
    system: str,
    benchmark: str,
    wrong: bool,
    limit: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Show what SYSTEM answered on BENCHMARK, what was taken for the answer, and the verdict.

    RUN is the folder of a run, or of what `selfmoe evaluate` did. It is read, and the benchmark's
    data; no model is loaded. "strict" asks for the form that the benchmark prescribes, "lenient"
    for the right answer in any form.

    \b
    Examples:
      selfmoe explain-score runs/demo mixse math/mini --wrong --limit 5
      selfmoe explain-score runs/demo base math/mini --json
    """
    from dataclasses import asdict, replace

    from selfmoe.reporting.explain import explain

    found = explain(run, system, benchmark, seed)
    total = len(found.verdicts)
    if wrong:
        found = found.wrong()
    matching = len(found.verdicts)
    found = replace(found, verdicts=found.verdicts[:limit])
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1, ensure_ascii=False))
        return
    click.echo(_head(found))
    for verdict in found.verdicts:
        click.echo(_item(verdict))
    kind = "items that do not score 1" if wrong else "items"
    click.echo(f"\n{len(found.verdicts)} of {matching} {kind}, {total} items in all.")


def _head(found: Explanation) -> str:
    value, lenient = found.facts["value"], found.facts.get("lenient")
    score = f"{percent(value, 2)} %"
    score += "" if lenient is None else f" (lenient {percent(lenient, 2)} %)"
    lines = [
        f"{found.system} on {found.benchmark}: {score} of {found.facts['n']} items",
        f"Rule: {found.rule}",
    ]
    if any(verdict.lenient is not None for verdict in found.verdicts):
        gold = found.verdicts[0].gold.strip().splitlines() or [""]
        lines.append(
            f"Form that strict asks for: that of the gold answers, as in: {_shown(gold[-1])}"
        )
    if any(verdict.options for verdict in found.verdicts):
        lines.append("Options: → is the one picked, ✓ is right.")
    return "\n".join(lines)


def _item(verdict: ItemVerdict) -> str:
    tail = "\n".join([line for line in verdict.prompt.splitlines() if line.strip()][-_TAIL:])
    lines = [f"\nitem       {_shown(verdict.id)}", f"prompt   … {_shown(tail)}"]
    for option in verdict.options:
        mark = "→" if option.picked else " "
        chance = f"{percent(option.share, 2):>6} %  {option.loglikelihood:9.3f}"
        right = "✓" if option.right else " "
        lines.append(f"option   {mark} {chance}  {right} {_shown(option.text)}")
    if not verdict.options:
        lines.append(f"completion {_shown(verdict.completion.rstrip())}")
    lines += [
        f"extracted  {_or_none(verdict.extracted)}",
        f"gold       {_or_none(verdict.expected)}",
        f"verdict    {_verdict(verdict)}",
    ]
    return "\n".join(lines)


def _verdict(verdict: ItemVerdict) -> str:
    if not verdict.fits:
        return "wrong: the prompt left no room for an answer, so it was not asked"
    strict = _word(verdict.score)
    if verdict.lenient is None:
        return strict
    both = f"strict {strict}, lenient {_word(verdict.lenient)}"
    if verdict.lenient > verdict.score:
        return f"{both}: right, but not in the form that is asked for"
    return both


def _word(score: float) -> str:
    return {1.0: "right", 0.0: "wrong"}.get(score, f"{score:.4f}")


def _or_none(text: str | None) -> str:
    return "(none found)" if text is None else _shown(text)


def _shown(text: str) -> str:
    """Return a text that does nothing to a terminal, its further lines indented."""
    from selfmoe.reporting.visible import visible

    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters)"
    return str(visible(cut)).replace("\n", "\n           ")
