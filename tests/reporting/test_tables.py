"""The tables in the terminal: whatever its width, nothing is cut."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from selfmoe.reporting.model import RunResults
from selfmoe.reporting.terminal.tables import print_results, scores_table

DEMO = json.loads((Path(__file__).parents[2] / "results" / "demo.json").read_text("utf-8"))


def shown(results: Any, width: int) -> str:
    stream = StringIO()
    print_results(RunResults.model_validate(results), Console(file=stream, width=width))
    return stream.getvalue()


def words(text: str) -> list[str]:
    """Return all that a table says, piece by piece, in alphabetical order."""
    return sorted(re.findall(r"[^\s│┃┏┳┓┡╇┩├┼┤└┴┘━─/]+", text))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_nothing_is_cut(width: int) -> None:
    text = shown(DEMO, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    table = scores_table(RunResults.model_validate(DEMO))
    for column in table.columns[1:]:
        for cell in column.cells:
            assert cell in text
    for system in DEMO["systems"]:
        assert f"│ {system['name']} " in text
    assert set(words(shown(DEMO, 200))) <= set(words(text))


def test_names_longer_than_the_terminal_are_broken_not_cut() -> None:
    long = "z" * 60
    systems = [{**system, "name": f"{system['name']}-{long}"} for system in DEMO["systems"]]
    text = shown({**DEMO, "systems": systems}, 40)
    assert max(map(len, text.splitlines())) <= 40
    assert "…" not in text
    assert text.count("z") % 60 == 0


def test_why_something_was_not_run_is_told_in_full() -> None:
    reason = "no sandbox: [bold] " + "neither this nor that works " * 5
    first, *others = DEMO["systems"]
    name, score = next(iter(first["scores"].items()))
    score = {**score, "value": None, "not_run": reason}
    systems = [{**first, "scores": {**first["scores"], name: score}}, *others]
    for width in (40, 80):
        text = shown({**DEMO, "systems": systems}, width)
        assert set(words(reason)) <= set(words(text))


def test_tables_stand_apart_and_end_in_no_blanks() -> None:
    lines = shown(DEMO, 120).splitlines()
    for title in ("Routing: share of answer tokens in %", "Self-generated data", "Time"):
        assert lines[lines.index(title) - 1] == ""
