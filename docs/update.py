"""Rewrite the parts of README.md that are made from results: `python docs/update.py`."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from rich.console import Console

from selfmoe.reporting.tables import print_results

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- demo: start -->\n).*?(<!-- demo: end -->)", re.DOTALL)


def demo_block() -> str:
    """Return the tables of ``results/demo.json`` as they appear at the end of ``make demo``."""
    results = json.loads((ROOT / "results" / "demo.json").read_text("utf-8"))
    file = io.StringIO()
    print_results(results, Console(file=file, width=118, highlight=False, color_system=None))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```\n"


def updated(readme: str) -> str:
    """Return the README with its results brought up to date."""
    return BLOCK.sub(lambda match: match[1] + demo_block() + match[2], readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(updated(path.read_text("utf-8")), "utf-8")
