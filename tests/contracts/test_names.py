"""Names of several parts: joined and cut in one place, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from selfmoe.contracts.names import BenchmarkName, CellName, EvaluationName
from selfmoe.contracts.records import System

ROOT = Path(__file__).parents[2]

OWN = {"selfmoe/contracts/names.py", "selfmoe/contracts/records.py"}
"""Where names are joined and cut."""

ELSEWHERE = {
    "benchmarks/speeds/systems.py",  # names of adapters that are measured
    "selfmoe/cli/new_plugin/writing.py",  # paths of templates
    "selfmoe/contracts/paths.py",  # paths as people write them
    "selfmoe/config/resolve.py",  # labels that look like names of systems are refused
}
"""Where other texts are cut at slashes."""

CUTS = re.compile(
    r"""partition\("/"\)|split\("/"|removeprefix\("(expert-|base-)|replace\("/", "\."\)"""
    r"""|f"[^"]*\{[\w.]*(stage|label|domain|system|domain\.name)\}/\{"""
    r"""|f"(expert-\{|evaluate/|compose/|specialise/)"""
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (CellName("curate", "math"), "curate/math"),
        (CellName("evaluate", "base/math/mini"), "evaluate/base/math/mini"),
        (BenchmarkName("math", "mini"), "math/mini"),
        (EvaluationName("expert-math", BenchmarkName("math", "mini")), "expert-math/math/mini"),
    ],
)
def test_a_name_is_what_its_text_says(name, text):
    assert str(name) == text
    assert type(name).parse(text) == name


@pytest.mark.parametrize(
    ("kind", "text"), [(CellName, "curate"), (BenchmarkName, ""), (EvaluationName, "base/math")]
)
def test_other_texts_are_no_names(kind, text):
    with pytest.raises(ValueError, match="is no name of the form <"):
        kind.parse(text)


def test_files_are_called_by_their_benchmark():
    name = BenchmarkName("math", "mini")
    assert name.stem == "math.mini"
    assert BenchmarkName.parse_stem(name.stem) == name


def test_systems_have_names_of_their_own():
    assert System.base().name == "base"
    assert System.base(5) == System("base-5shot", "base", 5)
    assert System.of_expert("math") == System("expert-math", "expert")
    assert System.of_expert("math").expert == "math"


def sources():
    for folder in ("selfmoe", "benchmarks", "docs/_generate"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_nothing_else_joins_or_cuts_names():
    found = [
        f"{name}: {line.strip()}"
        for path in sources()
        if (name := path.relative_to(ROOT).as_posix()) not in OWN | ELSEWHERE
        for line in path.read_text("utf-8").splitlines()
        if CUTS.search(line)
    ]
    assert found == []
