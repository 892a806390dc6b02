"""The mini tracks of the four built-in domains."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from types import ModuleType

import pytest

from selfmoe.contracts.randomness import rng_for
from selfmoe.contracts.records import Source
from selfmoe.kits.domains.procedural import (
    LEVELS,
    SPLITS,
    STYLES,
    WORDINGS,
    Family,
    Problem,
    Split,
    draw,
    gold_response,
    lenient,
    program,
    strict,
)
from selfmoe.registry.registry import registry
from selfmoe_domain_coding import mini as coding
from selfmoe_domain_knowledge import mini as knowledge
from selfmoe_domain_math import mini as math
from selfmoe_domain_reasoning import mini as reasoning

DOMAINS = {"knowledge": knowledge, "reasoning": reasoning, "math": math, "coding": coding}
FAMILIES = [family for module in DOMAINS.values() for family in module.FAMILIES]


def _family(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def _passes(source: str | None, tests: tuple[str, ...]) -> bool:
    space: dict[str, object] = {}
    try:
        exec(source or "", space)
        for test in tests:
            exec(test, space)
    except Exception:
        return False
    return bool(tests)


def _problems(family: Family, n: int = 150) -> list[Problem]:
    rng = rng_for("mini", family.name)
    return [family.make(rng) for _ in range(n)]


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize(("split", "n"), [("seeds", 200), ("dev", 600), ("test", 600)])
def test_every_split_has_enough_items(name: str, split: Split, n: int) -> None:
    module = DOMAINS[name]
    items = draw(module.FAMILIES, split, n, 0, domain=name, style=module.STYLE)
    assert len({item.id for item in items}) == len({item.input for item in items}) == n


@pytest.mark.parametrize("name", DOMAINS)
def test_ten_or_more_families_of_every_level_and_one_prescribed_style(name: str) -> None:
    module = DOMAINS[name]
    names = [family.name for family in module.FAMILIES]
    assert len(set(names)) == len(names) >= 10
    for level in LEVELS:
        assert sum(family.level == level for family in module.FAMILIES) >= 2
    assert module.STYLE in STYLES


def test_domains_share_a_style_and_differ_in_others() -> None:
    assert reasoning.STYLE == math.STYLE
    assert len({module.STYLE for module in DOMAINS.values()}) == 3


def test_family_names_are_unique_over_all_domains() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_texts_are_short_and_never_hold_a_blank_line(family: Family) -> None:
    for problem in _problems(family):
        assert problem.family == family.name
        for text in (problem.input, *(gold_response(problem, style) for style in STYLES)):
            assert text
            assert text == text.strip()
            assert "\n\n" not in text
            assert len(text) < 300
        assert "\n" not in problem.input


@pytest.mark.parametrize("module", [knowledge, reasoning, math], ids=lambda m: m.__name__)
def test_gold_answers_are_right_and_others_wrong(module: ModuleType) -> None:
    for family in module.FAMILIES:
        for problem in _problems(family):
            assert not problem.tests
            for style in STYLES:
                gold = gold_response(problem, style)
                assert strict(style, gold, problem.answer)
                assert lenient(gold, problem.answer)
                assert not lenient(gold, problem.answer + "x")


@pytest.mark.parametrize("family", coding.FAMILIES, ids=lambda family: family.name)
def test_gold_programs_pass_their_tests_and_others_fail(family: Family) -> None:
    for problem in _problems(family):
        assert len(problem.tests) == 3
        for style in STYLES:
            source = program(gold_response(problem, style))
            assert _passes(source, problem.tests)
        assert _passes(program(problem.code, strict=True), problem.tests)
        assert not _passes("def f(x):\n    return None", problem.tests)


def test_coding_examples_are_true() -> None:
    for family in coding.FAMILIES:
        for problem in _problems(family):
            example = problem.input.partition("Example: ")[2]
            assert _passes(problem.code, (f"assert {example}",))


def test_knowledge_has_hundreds_of_facts_and_one_right_option() -> None:
    facts = set()
    for family in knowledge.FAMILIES:
        for problem in _problems(family, 400):
            options = problem.input.partition("Options: ")[2].rstrip(".").split(", ")
            assert len(set(options)) == 4
            assert options.count(problem.answer) == 1
            assert problem.answer in problem.steps
            facts.add(problem.steps)
    assert len(facts) >= 300


@pytest.mark.parametrize("name", ["boolean", "comparisons"])
def test_boolean_answers_are_those_of_python(name: str) -> None:
    for problem in _problems(_family(name)):
        expression = problem.input.removeprefix("What is ").removeprefix("Is it true that ")
        assert str(eval(expression.removesuffix("?"))) == problem.answer


@pytest.mark.parametrize(
    "family",
    [*math.FAMILIES, *(f for f in reasoning.FAMILIES if f.name in ("walk", "counting"))],
    ids=lambda family: family.name,
)
def test_arithmetic_in_steps_is_true(family: Family) -> None:
    for problem in _problems(family):
        equations = [s for s in problem.steps.rstrip(".").split(". ") if " = " in s]
        assert equations
        for equation in equations:
            left, right = equation.split(" = ")
            assert eval(left) == int(right)
        if family.name != "clock":
            assert equations[-1].endswith(f"= {problem.answer}")


def test_clock_answers_are_those_of_the_calendar() -> None:
    for problem in _problems(_family("clock")):
        start, takes, end = (
            timedelta(hours=int(hour), minutes=int(minute))
            for hour, minute in re.findall(r"(\d+):(\d+)", f"{problem.input} {problem.answer}")
        )
        assert start + takes == end


def test_liars_are_told_by_counting_lies() -> None:
    for problem in _problems(_family("lies")):
        assert problem.answer == ("yes" if problem.input.count(" lies.") % 2 == 0 else "no")


def test_things_are_where_they_were_put_last() -> None:
    for problem in _problems(_family("moves")):
        asked = problem.input.rpartition("Where is the ")[2].rstrip("?")
        places = re.findall(rf"the {asked} (?:is )?in the (\w+)", problem.input, re.IGNORECASE)
        assert problem.answer == places[-1]


def test_swapped_balls_are_followed() -> None:
    for problem in _problems(_family("swaps")):
        start, *rest = problem.input.removeprefix("The balls: ").split(". ")
        balls = dict(pair.split() for pair in start.split(", "))
        for one, two in re.findall(r"Then (\w+) and (\w+) swap", ". ".join(rest)):
            balls[one], balls[two] = balls[two], balls[one]
        who = rest[-1].removeprefix("Which ball has ").removesuffix(" now?")
        assert balls[who] == problem.answer


def test_counts_and_places_in_rows_are_right() -> None:
    for problem in _problems(_family("tally")):
        row, asked = problem.input.removeprefix("The row is ").split(". How many are ")
        assert problem.answer == str(row.split(", ").count(asked.rstrip("?")))
    for problem in _problems(_family("place")):
        row, asked = problem.input.removeprefix("The row is ").split(". What is the ")
        index = ["first", "second", "third", "fourth", "fifth"].index(asked.rstrip("?"))
        assert problem.answer == row.split(", ")[index]


@pytest.mark.parametrize("split", SPLITS)
def test_draws_are_the_same_whatever_the_global_state(split: Split) -> None:
    random.seed(3)
    first = draw(math.FAMILIES, split, 12, 5, domain="math", style=math.STYLE)
    random.seed(4)
    assert draw(math.FAMILIES, split, 12, 5, domain="math", style=math.STYLE) == first


@pytest.mark.parametrize("name", DOMAINS)
def test_items_are_put_in_other_words_that_go_with_the_same_form(name: str) -> None:
    (benchmark,) = registry().configure("domain", name).benchmarks(Source())
    for doc in benchmark.items[:50]:
        task, other = benchmark.ask(doc), benchmark.reworded(doc)
        assert other is not None
        assert other.input == task.input
        assert other.instruction != task.instruction
        assert any({task.instruction, other.instruction} <= set(w) for w in WORDINGS.values())
    assert benchmark.reworded({**benchmark.items[0], "instruction": "Sing it."}) is None
