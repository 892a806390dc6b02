"""What dry runs foretold beside what runs took, from the committed measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _generate.markdown import table

MEASURED = Path(__file__).parents[2] / "results" / "forecasts.json"
"""What ``benchmarks/forecasts.py`` found; not made yet where there is no such file."""

_MEASURES = {"seconds": "time", "tokens": "tokens", "bytes": "room"}


def forecasts() -> str:
    """Return what was foretold of runs, by what smaller ones took; nothing if none was measured."""
    if not MEASURED.exists():
        return ""
    found = json.loads(MEASURED.read_text("utf-8"))
    rows = [[run["name"], *_row(run)] for run in found["runs"]]
    head = ["run", "smaller ones", "foretold", "taken"]
    ratios = [f"{name}, foretold to taken" for name in _MEASURES.values()]
    made = f"`{found['command']}` made `results/{MEASURED.name}`, on an {found['processor']}."
    return f"{table([*head, *ratios], rows)}\n{made}\n"


def _row(run: dict[str, Any]) -> Iterator[str]:
    yield "; ".join(run["small"])
    yield from (f"{seconds:.0f} s" for seconds in run["whole"]["seconds"])
    yield from (f"{run['ratios'][measure]:.2f}" for measure in _MEASURES)
