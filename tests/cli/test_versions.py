"""The ranges of the libraries: what is tested is what pyproject.toml names, at both ends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from selfmoe.cli.doctor.tested import NEWEST, Window, window

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDS = {
    canonicalize_name(need.name): need
    for need in map(
        Requirement, PROJECT["dependencies"] + EXTRAS["math"] + EXTRAS["gguf"] + EXTRAS["serve"]
    )
}
BOUNDED = {"transformers", "peft", "lm-eval", "math-verify"}


def pins(file: str) -> dict[str, tuple[str, str]]:
    """Return the release of each library in a file of constraints, and the comment behind it."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==(\S+?)\s*(#.*)?$", line) for line in lines)
    return {canonicalize_name(m[1]): (m[2], m[3] or "") for m in found if m}


def test_the_oldest_set_is_the_lower_ends_of_the_ranges():
    oldest = pins("constraints-oldest.txt")
    assert list(oldest) == list(NEEDS)
    for name, (version, comment) in oldest.items():
        lower = Version(window(NEEDS[name]).oldest)
        forced = f"{lower} is what the range names" in comment and Version(version) > lower
        assert Version(version) == lower or forced


@pytest.mark.parametrize("name", NEEDS)
def test_both_ends_are_known_and_in_the_range(name):
    tested = window(NEEDS[name])
    assert tested.oldest, "without a lower end anything counts as tested"
    assert name in NEWEST, "without an upper end nothing counts as too new"
    assert NEEDS[name].specifier.contains(tested.newest)
    assert not tested.is_older(tested.newest)


def test_the_newest_names_nothing_else():
    assert set(NEWEST) == set(NEEDS)


def test_upper_bounds_are_where_selfmoe_reaches_into_a_library_and_right_above_what_is_tested():
    assert {name for name, need in NEEDS.items() if window(need).below} == BOUNDED
    for name in BOUNDED:
        tested = window(NEEDS[name])
        *head, last = Version(tested.below).release
        newest = Version(tested.newest).release
        assert (*newest[: len(head)], newest[len(head)] + 1) == (*head, last)


def test_what_make_test_installs_is_within_the_ranges():
    for name, (version, _) in pins("constraints.txt").items():
        assert name not in NEEDS or NEEDS[name].specifier.contains(version)


@pytest.mark.parametrize(
    ("version", "older", "newer"),
    [
        ("2.7.9", True, False),
        ("2.8.0rc1", True, False),
        ("2.8", False, False),
        ("2.13.0+cpu", False, False),
        ("2.14.7", False, False),
        ("2.15.0.dev1", False, True),
        ("3", False, True),
    ],
)
def test_a_window(version, older, newer):
    tested = Window("2.8", "2.14.1")
    assert (tested.is_older(version), tested.is_newer(version)) == (older, newer)


def test_a_bound_counts_before_the_line_of_releases_does():
    tested = Window("0.4.13", "0.4.13", "0.4.14")
    assert not tested.is_newer("0.4.13.post1")
    assert tested.is_newer("0.4.14")
