"""``comparison/index.html`` as text: what it holds, whatever there is."""

from __future__ import annotations

from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.page import comparison_page


def render(results: dict) -> str:
    return comparison_page(ComparisonResults.model_validate(results))


def test_everything_is_there(results, words_of):
    words = words_of(render(results))
    for part in (
        "selfmoe comparison",
        "Routers and merges on seedling",
        "Base seedling (0123abcd), track mini, preset demo; the experts of root seed 3, composed "
        "with 1 composer seed.",
        "Best composition: mean 80.0 % interval 75.0 to 85.0",
        "+50.0 points on average",
        "Compositions 6 routers and merges",
        "system average less mixse p trained added forward entropy seconds",
        "told * 70.0 ±5.0 +10.0 ±10.0 0.010 512 1.2 M 1.25× 0.50 3.0 s",
        "chance < mixse: yes (+10.0 points, p = 0.010).",
        "Left out: narrow: too few experts",
        "compose/odd no luck more",
        "mixse: answer tokens",
        "chance: all tokens",
        "math/mini 75 25 0.81",
        "torch 2.13.0",
    ):
        assert part in words, part


def test_parts_that_are_not_there_are_left_out(results, words_of):
    for part in ("routing", "routing_response", "missing", "left_out"):
        results[part] = {}
    results["paired"] = None
    words = words_of(render(results))
    for part in ("Routing", "Left out", "Not everything", "answer by answer"):
        assert part not in words, part
    assert "less –" in words


def test_names_are_text(results):
    results["systems"][3]["name"] = "<script>alert(1)</script>"
    page = render(results)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
