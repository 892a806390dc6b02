"""``selfmoe compare-logs``: two models item by item, by the samples that were kept of them."""

from __future__ import annotations

from pathlib import Path

import click

from selfmoe.cli import options


@click.command()
@click.argument("a", type=options.PATH)
@click.argument("b", type=options.PATH)
@click.option("--any-prompt", is_flag=True, help="Compare although prompts or answers differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(a: Path, b: Path, any_prompt: bool, as_json: bool) -> None:
    """Compare model B with model A item by item, by the samples that lm-eval or selfmoe kept.

    A and B are files of samples, or folders of them: samples_<task>_<date>.jsonl, as lm-eval writes
    them with --log_samples, or <domain>.<benchmark>.samples.jsonl of selfmoe. What chance does to
    both models on the same item cancels, so differences are told that separate intervals hide. No
    model is loaded. Items that only one was asked are left out and counted; other prompts or
    another number of solved examples are refused.

    \b
    Examples:
      selfmoe compare-logs logs/base logs/tuned
      selfmoe compare-logs logs/base logs/tuned --any-prompt --json
    """
    import json

    from selfmoe.reporting.logs.comparing import compare_logs
    from selfmoe.reporting.logs.tables import print_logs
    from selfmoe.reporting.terminal.progress import output

    found = compare_logs(a, b, any_prompt=any_prompt)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        print_logs(found, output())
