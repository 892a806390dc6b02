"""Rewrite what README and model card show of the results: `python docs/update.py`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from selfmoe.reporting.tables import print_results

ROOT = Path(__file__).parents[1]
CARD = "plugins/selfmoe_base_seedling/weights/README.md"


def demo_tables(results: dict[str, Any]) -> str:
    """Return the tables as they appear at the end of ``make demo``."""
    file = io.StringIO()
    print_results(results, Console(file=file, width=118, highlight=False, color_system=None))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```\n"


def base_table(results: dict[str, Any]) -> str:
    """Return what the base can do with and without solved examples, as a Markdown table."""
    bare, shown = (system["scores"] for system in results["systems"][:2])
    (data,) = results["data"].values()
    lines = [
        "| domain | n | bare prompt, strict / lenient | 5 examples, strict / lenient "
        "| texts written, kept |",
        "|---|---|---|---|---|",
    ]
    for name, score in bare.items():
        domain, few = name.partition("/")[0], shown[name]
        counts = data[domain]
        lines.append(
            f"| {domain} | {score['n']} | {_pair(score)} | {_pair(few)} "
            f"| {counts['written']}, {counts['kept']} |"
        )
    return "\n".join(lines) + "\n"


def _pair(score: dict[str, Any]) -> str:
    return f"{100 * score['value']:.0f} / {100 * score['lenient']:.0f} %"


BLOCKS: dict[tuple[str, str], Callable[[dict[str, Any]], str]] = {
    ("README.md", "demo"): demo_tables,
    (CARD, "measured"): base_table,
}
"""File and name of a block -> what makes its text from the results of the demo."""


def updated(file: str) -> str:
    """Return the text of a file with its blocks brought up to date."""
    text = (ROOT / file).read_text("utf-8")
    results = json.loads((ROOT / "results" / "demo.json").read_text("utf-8"))
    for (owner, name), make in BLOCKS.items():
        if owner == file:
            start, end = f"<!-- {name}: start -->\n", f"<!-- {name}: end -->"
            head, _, rest = text.partition(start)
            text = head + start + make(results) + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    for owner in {owner for owner, _ in BLOCKS}:
        (ROOT / owner).write_text(updated(owner), "utf-8")
