"""Experts that came one by one, from the committed results."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from _generate.markdown import as_on_pages, code, table
from _generate.seedling import ROOT
from selfmoe.reporting.continual.model import ContinualResults
from selfmoe.reporting.continual.tables import COLUMNS, row_of

FILE = ROOT / "results" / "continual.json"
OF_FEW = ROOT / "results" / "arrivals.json"
"""What ``benchmarks/arrivals.py`` found; not made yet where there is no such file."""


def arrivals() -> str:
    """Return a line an arrival of the first system, and what taking in the last one cost."""
    results = ContinualResults.model_validate_json(FILE.read_bytes())
    system = results.systems[0]
    rows = [
        [code(one.expert) if one.expert else "–", *as_on_pages(row_of(one, system))]
        for one in results.arrivals
    ]
    came = {one.experts: one.seconds for one in results.arrivals}
    first, last = came[5], came[max(came)]
    kept = all(one.unchanged and one.found_again for one in results.arrivals[1:])
    said = (
        f"Taking expert {max(came)} into the mixture took {last['compose']:.1f} s, expert 5 "
        f"{first['compose']:.1f} s. Files of earlier experts the same bytes, and every state found "
        f"again on the way back: {'yes' if kept else 'no'}.\n"
    )
    return f"{table(['came', *COLUMNS], rows)}\n{said}"


def of_few() -> str:
    """Return what one expert cost as the last of many, by what it cost as the last of few."""
    if not OF_FEW.exists():
        return ""
    found = json.loads(OF_FEW.read_text("utf-8"))
    few, many = found["of"]
    told = {"its cells": found["cells"], "with planning, one item and the report": found["whole"]}
    rows = [[what, *_ratio(one)] for what, one in told.items()]
    head = [f"{code(found['expert'])} joins", f"as expert {few}", f"as expert {many}", "ratio"]
    said = "One kind, added to a run of few and to a run of many:\n\n"
    made = f"`{found['command']}` made `results/{OF_FEW.name}`; {len(found['cells']['ratios'])}"
    return f"{said}{table(head, rows)}\n{made} rounds, in turns, median and range.\n"


def _ratio(found: dict[str, Any]) -> list[str]:
    seconds = [f"{median(column):.1f} s" for column in zip(*found["seconds"], strict=True)]
    low, high = min(found["ratios"]), max(found["ratios"])
    return [*seconds, f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"]
