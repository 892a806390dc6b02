"""The toolbox for multiple-choice families made from tables of facts."""

from __future__ import annotations

import pytest

from selfmoe.contracts.randomness import rng_for
from selfmoe.kits.domains.fact_families import (
    OPTIONS,
    facts,
    lookup,
    member,
    multiple_choice,
    outsider,
)
from selfmoe.kits.domains.procedural import Family, Problem, gold_response, lenient

CAPITALS = facts("Peru Lima, Chad N'Djamena, Cuba Havana, Costa_Rica San_José, Fiji Suva")
LANGUAGES = {"Peru": "Spanish", "Cuba": "Spanish", "Chad": "French", "Fiji": "Fijian", "UK": "Eng"}
KINDS = {"a bird": ("owl", "crow", "duck"), "a fish": ("cod", "eel", "pike"), "a tree": ("oak",)}


def _problems(family: Family) -> list[Problem]:
    return [family.make(rng_for("choice", family.name, i)) for i in range(200)]


def _options(problem: Problem) -> list[str]:
    return problem.input.partition("Options: ")[2].removesuffix(".").split(", ")


def test_facts_are_pairs_and_underscores_are_spaces() -> None:
    assert CAPITALS["Costa Rica"] == "San José"
    assert len(CAPITALS) == 5
    with pytest.raises(ValueError, match="unpack"):
        facts("Peru Lima, Chad")


def test_lookup_offers_the_value_once_and_states_the_fact() -> None:
    family = lookup("languages", LANGUAGES, "What is spoken in {}?", "In {} it is {}.", "easy")
    assert family.level == "easy"
    for problem in _problems(family):
        key = problem.input.removeprefix("What is spoken in ").partition("?")[0]
        options = _options(problem)
        assert problem.answer == LANGUAGES[key]
        assert len(options) == len(set(options)) == OPTIONS
        assert options.count(problem.answer) == 1
        assert problem.steps == f"In {key} it is {problem.answer}."
        assert lenient(gold_response(problem, "code"), problem.answer)


def test_member_offers_one_of_the_class_and_others() -> None:
    for problem in _problems(member("kinds", KINDS, "Which is {}?", "The {} is {}.")):
        kind = problem.input.removeprefix("Which is ").partition("?")[0]
        assert [one for one in _options(problem) if one in KINDS[kind]] == [problem.answer]
        assert problem.steps == f"The {problem.answer} is {kind}."


def test_outsider_offers_three_of_the_class_and_one_other() -> None:
    big = {kind: members for kind, members in KINDS.items() if len(members) == OPTIONS - 1}
    for problem in _problems(outsider("odd", big, "Which is not {}?", "The {} is {}.")):
        kind = problem.input.removeprefix("Which is not ").partition("?")[0]
        assert [one for one in _options(problem) if one not in KINDS[kind]] == [problem.answer]


def test_the_right_option_stands_at_every_place() -> None:
    family = lookup("capitals", CAPITALS, "The capital of {}?", "{} has {}.")
    places = {_options(problem).index(problem.answer) for problem in _problems(family)}
    assert places == set(range(OPTIONS))


def test_too_few_wrong_options_are_an_error() -> None:
    with pytest.raises(ValueError, match="larger than population"):
        multiple_choice("few", rng_for(0), "Which?", "a", ["b", "b", "c"], "It is a.")
