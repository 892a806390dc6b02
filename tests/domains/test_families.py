"""Domains made of chosen kinds of problems: what they take, ask and refuse."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from pydantic import ValidationError

from selfmoe.config.resolve import resolve
from selfmoe.contracts import DataError, Example, Rejected, Source
from selfmoe.testing.domains import DomainContract
from selfmoe_base_seedling import Seedling
from selfmoe_base_seedling.regimes import CUES, FORMS
from selfmoe_domain_families import Families
from selfmoe_domain_families.known import TRACKS, known
from selfmoe_domain_knowledge.mini.places import CAPITAL

SOURCE = Source()
CUED = {"families": ["math/get", "math/give"], "style": "marked", "cue": "^Today (Ann|Ben) "}
REGIMES = sorted(
    preset for preset, advice in Seedling.settings.items() if "define" in advice["run"]
)


def families(**options: Any) -> Families:
    return Families(Families.Config(**options))


class TestCued(DomainContract):
    @pytest.fixture
    def domain(self) -> Families:
        return families(**CUED, crossed=["crossed/facts-in-sums"])


class TestPrograms(DomainContract):
    @pytest.fixture
    def domain(self) -> Families:
        return families(families=["coding"], style="code", crossed=["crossed/fact-in-code"])


def test_seeds_and_items_are_of_the_kinds_named_and_have_the_cue_and_the_form() -> None:
    domain = families(**CUED)
    (benchmark,) = domain.benchmarks(SOURCE)
    assert {item["family"] for item in benchmark.items} == {"get", "give"}
    tasks = [seed.input for seed in domain.seeds(SOURCE, 50, random.Random(0))]
    assert all(re.search(CUED["cue"], text) for text in tasks)
    assert all(re.search(CUED["cue"], item["input"]) for item in benchmark.items)
    assert all("####" in item["response"] for item in benchmark.items)


def test_whole_tracks_can_be_named_and_all_that_can_is_listed() -> None:
    assert families(families=["math"], style="worked").families == TRACKS["math"]
    assert len(families().families) == sum(map(len, TRACKS.values())) - len(TRACKS["crossed"])
    assert {"math", "math/get", "crossed/fact-in-code"} < set(known())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"families": ["math/gets"]}, "there is no 'math/gets', only: coding, coding/reduce"),
        ({"families": ["math", "math"]}, "named twice"),
        ({"families": []}, "at least 1"),
        ({"cue": "("}, "not a regular expression"),
        ({"crossed": ["facts"]}, "there is no 'facts'"),
    ],
)
def test_what_is_not_possible_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        Families.Config(**options)


def test_a_cue_that_no_problem_has_is_told() -> None:
    domain = families(families=["math/get"], cue="unicorn")
    with pytest.raises(DataError, match=r"'get' yields no problem that matches 'unicorn'"):
        domain.seeds(SOURCE, 5, random.Random(0))


def test_tasks_with_the_cue_of_others_are_refused() -> None:
    domain = families(**CUED)
    own = Example("own", "d", "Answer.", "Today Ben has 2 pens and gives 1 to Zoe.", "1")
    other = Example("other", "d", "Answer.", "Today Zoe has 2 pens and gives 1 to Ben.", "1")
    assert domain.verify(own, SOURCE) is None
    assert domain.verify(other, SOURCE) == Rejected("another domain's task")


def test_what_needs_two_domains_is_asked_beside_the_targets() -> None:
    domain = families(families=["coding"], style="code", crossed=["crossed/fact-in-code"])
    mini, crossed = domain.benchmarks(SOURCE)
    assert (mini.role, crossed.role) == ("target", "non-target")
    assert {item["family"] for item in crossed.items} == {"fact-in-code"}
    for item in crossed.items:
        country, capital = re.findall(r"capital of (\w+(?: \w+)?) if|return '(.+?)' if", str(item))
        assert CAPITAL[country[0]] == capital[1]
        assert f"'{capital[1]}'" not in item["input"]


def test_only_facts_tell_what_a_sum_is_of() -> None:
    (sums,) = families(families=["crossed/facts-in-sums"], style="worked").benchmarks(SOURCE)
    for item in sums.items:
        parts = re.findall(r"(\d) boxes with (\d)", item["input"])
        assert item["answer"] in [str(int(boxes) * int(each)) for boxes, each in parts]


# --- the seedling's presets ----------------------------------------------------------------------


@pytest.mark.parametrize("preset", REGIMES)
def test_a_preset_brings_the_domains_it_defines(preset: str) -> None:
    config = resolve({"preset": preset})
    assert config.domains == list(config.define) and len(config.domains) >= 3
    assert all(domain in config.registry.names("domain") for domain in config.domains)


def test_domains_that_are_asked_for_replace_those_of_a_preset() -> None:
    config = resolve({"preset": "many", "domains": ["money", "math"]})
    assert config.domains == ["money", "math"] and list(config.define) == ["money"]


def test_a_domain_of_a_preset_can_be_changed_in_part() -> None:
    asked = {"preset": "many", "define": {"money": {"options": {"style": "bare"}}}}
    money = resolve(asked).define["money"]
    assert (money.domain, money.options["style"]) == ("families", "bare")
    assert money.options["families"] == ["math/change", "math/savings", "math/cheaper"]


@pytest.mark.parametrize("cue", sorted(CUES))
def test_conflicting_domains_share_a_kind_of_task_and_no_cue(cue: str) -> None:
    config = resolve({"preset": f"conflicting-{cue}"})
    assert len(set(FORMS.values())) == len(config.domains) == 3
    for domain in config.domains:
        made = config.registry.configure("domain", domain)
        for seed in made.seeds(SOURCE, 60, random.Random(0)):
            found = [
                name for name, (_, pattern) in CUES[cue].items() if re.search(pattern, seed.input)
            ]
            assert found == [domain], seed.input


def test_many_splits_every_family_of_the_mini_domains_once() -> None:
    config = resolve({"preset": "many"})
    named = [kind for entry in config.define.values() for kind in entry.options["families"]]
    mini = [name for name in known() if "/" in name and not name.startswith("crossed/")]
    assert sorted(named) == sorted(mini) and len(config.domains) >= 12
