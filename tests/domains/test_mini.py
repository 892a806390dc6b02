"""The mini tracks of the four built-in domains."""

from __future__ import annotations

import random
from types import ModuleType

import pytest

from selfmoe.procedural import (
    SPLITS,
    STYLES,
    Family,
    Problem,
    Split,
    draw,
    lenient,
    program,
    render,
    strict,
)
from selfmoe.randomness import rng_for
from selfmoe_domain_coding import mini as coding
from selfmoe_domain_knowledge import mini as knowledge
from selfmoe_domain_math import mini as math
from selfmoe_domain_reasoning import mini as reasoning

DOMAINS = {"knowledge": knowledge, "reasoning": reasoning, "math": math, "coding": coding}
FAMILIES = [family for module in DOMAINS.values() for family in module.FAMILIES]


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
def test_three_or_more_families_and_one_prescribed_style(name: str) -> None:
    module = DOMAINS[name]
    names = [family.name for family in module.FAMILIES]
    assert len(set(names)) == len(names) >= 3
    assert module.STYLE in STYLES


def test_prescribed_styles_differ() -> None:
    assert {module.STYLE for module in DOMAINS.values()} == set(STYLES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_texts_are_short_and_never_hold_a_blank_line(family: Family) -> None:
    for problem in _problems(family):
        assert problem.family == family.name
        for text in (problem.input, *(render(problem, style) for style in STYLES)):
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
                gold = render(problem, style)
                assert strict(style, gold, problem.answer)
                assert lenient(gold, problem.answer)
                assert not lenient(gold, problem.answer + "x")


@pytest.mark.parametrize("family", coding.FAMILIES, ids=lambda family: family.name)
def test_gold_programs_pass_their_tests_and_others_fail(family: Family) -> None:
    for problem in _problems(family):
        assert len(problem.tests) == 3
        for style in STYLES:
            source = program(render(problem, style))
            assert _passes(source, problem.tests)
        assert _passes(program(problem.code, strict=True), problem.tests)
        assert not _passes("def f(x):\n    return None", problem.tests)


def test_coding_examples_are_true() -> None:
    for family in coding.FAMILIES:
        for problem in _problems(family):
            example = problem.input.partition("Example: ")[2]
            assert _passes(problem.code, (f"assert {example}",))


def test_knowledge_has_a_hundred_facts_and_one_right_option() -> None:
    answers = set()
    for family in knowledge.FAMILIES:
        for problem in _problems(family, 1500):
            options = problem.input.partition("Options: ")[2].rstrip(".").split(", ")
            assert len(set(options)) == 4
            assert options.count(problem.answer) == 1
            answers.add((family.name, problem.answer))
    assert len(answers) >= 100


def test_boolean_answers_are_those_of_python() -> None:
    family = reasoning.FAMILIES[0]
    for problem in _problems(family):
        expression = problem.input.removeprefix("What is ").removesuffix("?")
        assert str(eval(expression)) == problem.answer


def test_arithmetic_in_steps_is_true() -> None:
    for family in (*math.FAMILIES, reasoning.FAMILIES[1]):
        for problem in _problems(family):
            equations = [s for s in problem.steps.rstrip(".").split(". ") if " = " in s]
            assert equations
            for equation in equations:
                left, right = equation.split(" = ")
                assert eval(left) == int(right)
            assert equations[-1].endswith(f"= {problem.answer}")


@pytest.mark.parametrize("split", SPLITS)
def test_draws_are_the_same_whatever_the_global_state(split: Split) -> None:
    random.seed(3)
    first = draw(math.FAMILIES, split, 12, 5, domain="math", style=math.STYLE)
    random.seed(4)
    assert draw(math.FAMILIES, split, 12, 5, domain="math", style=math.STYLE) == first
