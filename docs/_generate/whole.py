"""The table of what a whole run costs beside a former build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
FILE = Path(__file__).parents[2] / "results" / "whole.json"
"""Not made yet where there is no such file."""

_INTRODUCTION = """\
## A whole run

The preset {preset} from nothing, by the build of commit `{commit}` and by this one, in turns.
*Ratio* is that of the CPU time of all their processes, sandboxes included. A second thread waits
actively while there is nothing for it to do, so that time in which only one works counts twice.
Where torch's own products take AVX-512, as on Intel's processors, they are no quicker than in the
former build (see below), and less is gained.

"""


def section(file: Path = FILE) -> str:
    """Return the part of the page about whole runs; nothing where nothing is measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    times = ("former, CPU", "this, CPU", "former, waited", "this, waited")
    head = ("threads", "ratio", *times, "rounds", "processor")
    rows = (
        [
            *(str(run["threads"]), _ratio(run)),
            *(f"{run[name]['cpu']:.0f} s" for name in ("former", "this")),
            *(f"{run[name]['wall']:.0f} s" for name in ("former", "this")),
            *(str(run["rounds"]), run["processor"]),
        ]
        for run in found["runs"]
    )
    versions = ", ".join(f"{n} {found['versions'][n]}" for n in ("torch", "transformers", "peft"))
    said = f"With {versions}. {code(found['command'])} makes `results/whole.json`.\n"
    return f"{_INTRODUCTION.format(**found)}{table(head, rows)}\n{said}"


def _ratio(run: Json) -> str:
    spread = f" ({run['low']:.2f}–{run['high']:.2f})" if run["low"] < run["high"] else ""
    return f"{run['ratio']:.2f}{spread}"
