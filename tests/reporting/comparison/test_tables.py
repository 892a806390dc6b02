"""What is printed of a comparison, in whatever width; and what it says of the order."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from _generate import results as generated
from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.order import order, sentence
from selfmoe.reporting.comparison.tables import print_comparison
from selfmoe.reporting.model import Estimate, Measured, Paired
from selfmoe.reporting.numbers import collapsed


def printed(results: dict, width: int) -> str:
    file = io.StringIO()
    print_comparison(ComparisonResults.model_validate(results), Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [120, 80])
def test_nothing_is_cut_in_whatever_width(results, width):
    text, kinds = printed(results, width), [system["name"] for system in results["systems"]]
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for part in (*kinds, "told *", "1.2 M", "1.25×", "512", "0.50!", "+10.0 ±10.0", "0.010"):
        assert part in text, part
    assert text.count("┃ system ") == (2 if width == 120 else 4)


def test_what_went_wrong_is_said(results):
    text = " ".join(printed(results, 200).split())
    assert "Left out: narrow: too few experts" in text
    assert "Failed: compose/odd (composer seed 0): no luck" in text
    assert "evaluate/odd" not in text
    assert "chance has collapsed: expert math gets over 95 %" in text
    assert text.count("* is told the domain of every item") == 1
    assert "chance < mixse: yes (+10.0 points, p = 0.010)." in text
    assert "mixse < told: yes (+10.0 points, p = 0.010)." in text


@pytest.mark.parametrize(
    ("difference", "p", "holds", "said"),
    [
        (-0.2, 0.0001, True, "chance < mixse: yes (+20.0 points, p < 0.001)."),
        (0.2, 0.01, False, "chance < mixse: no (-20.0 points, p = 0.010)."),
        (-0.2, 0.2, None, "chance < mixse: not shown (+20.0 points, p = 0.200)."),
        (-0.2, None, None, "chance < mixse: not shown (+20.0 points, no spread)."),
    ],
)
def test_the_order_is_reported_not_assumed(results, difference, p, holds, said):
    found = {"difference": difference, "low": None, "high": None, "p": p}
    systems = ComparisonResults.model_validate(results).systems
    measured = Measured(score=Estimate(**found), lenient=None)
    paired = Paired(reference="mixse", systems={"chance": measured})
    (pair,) = order(systems, paired, 0.05)
    assert (pair.below, pair.above, pair.holds) == ("chance", "mixse", holds)
    assert sentence([pair]) == said
    assert order(systems, None, 0.05) == []


def test_one_expert_everywhere_is_a_collapse_and_one_a_domain_is_none():
    everywhere = {"a/x": {"a": 0.96, "b": 0.04}, "b/x": {"a": 0.99, "b": 0.01}}
    assert collapsed(everywhere) == "a"
    assert collapsed(everywhere | {"b/x": {"a": 0.01, "b": 0.99}}) is None
    assert collapsed({"a/x": {"a": 0.95, "b": 0.05}}) is None
    assert collapsed({"a/x": {"a": 1.0}}) is None
    assert collapsed({}) is None


def test_the_page_shows_what_the_file_holds(results, tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "COMPARED", tmp_path / "compare.json")
    assert generated.compared_tables() == ""
    (tmp_path / "compare.json").write_text(json.dumps(results))
    lines = printed(results, 120).splitlines()
    text = generated.compared_tables()
    assert text.splitlines()[1:-1] == [line.rstrip() for line in lines]
