"""What is said of running written code while more is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code

FILE = Path(__file__).parents[2] / "results" / "overlap.json"
"""Not made yet where there is no such file."""

_SAID = """\
Written code is run while the model writes the next answers: {base} wrote those of {items} items
of HumanEval in {writing:.0f} s, their programs ran for {running:.1f} s, {both:.1f} s of these
meanwhile; the whole took {waited:.0f} s (template {template}, float32, {threads} thread of an
{processor}). Programs of the last shard have nothing to run beside.
"""


def section(file: Path = FILE) -> str:
    """Return the paragraph; nothing where it is not measured."""
    if not file.exists():
        return ""
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    made = f"{code(found['command'])} makes `results/overlap.json`.\n"
    return f"{_SAID.format(**found)}{made}"
