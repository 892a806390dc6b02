"""The table of what this build makes of a former build's data, and of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
FILE = Path(__file__).parents[2] / "results" / "former-data.json"
"""Not made yet where there is no such file."""

_INTRODUCTION = """\
## The same answers

What is quicker must not answer otherwise. From the data that the build of commit `{commit}` made in
its preset {preset}, both builds trained experts, composed systems and asked the benchmarks, in
float32. Of {texts[of]} answers {texts[same]} are the same to the letter, of {scores[of]} scores
{scores[same]}; the losses of the experts are at most {apart} apart.

Data that this build writes itself are others, as what a row draws is its own now, and make other
experts, away from home above all. Whether by chance or by how they are drawn was not told apart:
the intervals are over items and say nothing of other data. Averages in %:

"""


def section(file: Path = FILE) -> str:
    """Return the part of the page about a former build's data; nothing where it is not measured."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    head = ("system", "former", "interval", "data of this build", "within")
    rows = (
        [
            *(row["system"], f"{row['former']:.1f}"),
            *(f"{row['low']:.1f} to {row['high']:.1f}", f"{row['this']:.1f}"),
            "yes" if row["within"] else "no",
        ]
        for row in found["averages"]
    )
    said = _INTRODUCTION.format(**found, apart=f"{found['losses_apart']:.0e}")
    end = f"With `{', '.join(found['settings'])}`. {code(found['command'])} makes "
    return f"{said}{table(head, rows)}\n{end}`results/former-data.json`.\n"
