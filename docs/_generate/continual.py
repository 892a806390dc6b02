"""Experts that came one by one, from the committed results."""

from __future__ import annotations

from _generate.markdown import as_on_pages, code, table
from _generate.seedling import ROOT
from selfmoe.reporting.continual.model import ContinualResults
from selfmoe.reporting.continual.tables import COLUMNS, row_of

FILE = ROOT / "results" / "continual.json"


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
