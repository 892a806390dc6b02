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

Data that this build writes itself are others, as what a row draws is its own now, and it keeps more
of them: the tokens of each text as they were written, and which seeds were solved. *Same fields*
are experts that learned from no more of these data than the former build had, *all fields* from all
of them. Averages in %, one for each of {seeds} root seeds, *within* that of how many lies in the
interval of the former build's, over its items:

"""


def section(file: Path = FILE) -> str:
    """Return the part of the page about a former build's data; nothing where it is not measured."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    head = ("system", "former", "same fields", "within", "all fields", "within")
    n = len(found["seeds"])
    rows = (
        [
            *(row["system"], _each(row["former"]), _each(row["reduced"])),
            *(f"{row['within']['reduced']} of {n}", _each(row["own"])),
            f"{row['within']['own']} of {n}",
        ]
        for row in found["averages"]
    )
    facts = {**found, "seeds": n, "apart": f"{found['losses_apart']:.0e}"}
    end = f"With `{', '.join(found['settings'])}`. {code(found['command'])} makes "
    return f"{_INTRODUCTION.format(**facts)}{table(head, rows)}\n{end}`results/former-data.json`.\n"


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
