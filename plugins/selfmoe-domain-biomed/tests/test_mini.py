"""The facts, and that base and domain name the same ones."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import selfmoe
import selfmoe_base_seedling
import selfmoe_domain_biomed
from selfmoe.kits.domains import SPLITS, draw
from selfmoe_base_seedling import biomed as read
from selfmoe_domain_biomed import mini


def tables(module):
    return {name: value for name, value in vars(module).items() if isinstance(value, dict)}


def facts(module):
    return {name: value for name, value in tables(module).items() if name.isupper()}


def test_the_base_has_read_these_facts_and_no_others():
    assert facts(mini) == facts(read)
    assert sum(map(len, facts(mini).values())) - len(mini.PARTS) == 104


@pytest.mark.parametrize("split", SPLITS)
def test_they_are_asked_for_in_the_same_words(split):
    ours, theirs = (
        draw(module.FAMILIES, split, 400, 0, domain="biomed", style=mini.STYLE)
        for module in (mini, read)
    )
    assert ours == theirs


def test_every_split_has_items_enough_and_none_of_another():
    inputs = [
        {item.input for item in draw(mini.FAMILIES, s, 500, 0, domain="biomed", style=mini.STYLE)}
        for s in SPLITS
    ]
    assert [len(found) for found in inputs] == [500] * len(SPLITS)
    assert len(set().union(*inputs)) == 500 * len(SPLITS)


def test_every_item_lists_four_options_and_its_answer_once():
    for item in draw(mini.FAMILIES, "test", 400, 0, domain="biomed", style=mini.STYLE):
        options = item.input.partition("Options: ")[2].rstrip(".").split(", ")
        assert len(set(options)) == 4
        assert options.count(item.answer) == 1


# --- who knows whom -------------------------------------------------------------------------------


def imported(package) -> set[str]:
    """Return the top packages that a package's modules import."""
    names = set()
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names


def test_neither_package_knows_the_other():
    assert "selfmoe_domain_biomed" not in imported(selfmoe_base_seedling)
    ours = {name for name in imported(selfmoe_domain_biomed) if name.startswith("selfmoe")}
    assert ours == {"selfmoe", "selfmoe_domain_biomed"}


def test_not_a_line_of_the_engine_names_it():
    for path in Path(selfmoe.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8").lower()
        assert "biomed" not in text, path
        assert "pubmed" not in text, path
