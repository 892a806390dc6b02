"""``curate.verify`` of math and knowledge: what an answer shows to be wrong by itself."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from selfmoe.contracts.records import Example, Rejected, Source
from selfmoe.kits.domains.procedural import STYLES, gold_response, sample
from selfmoe_domain_knowledge import Knowledge
from selfmoe_domain_knowledge.mini import FAMILIES as FACTS
from selfmoe_domain_knowledge.options import options_of
from selfmoe_domain_math import Math
from selfmoe_domain_math.equations import _half_a_digit, false_equation
from selfmoe_domain_math.mini import FAMILIES as SUMS


def example(text: str, response: str) -> Example:
    return Example("x", "any", "Answer.", text, response, ())


@pytest.mark.parametrize(
    "text",
    [
        "3 * 5 = 15. 15 + 8 = 23. #### 23",
        "2 + 3 + 4 = 9",
        "(2 + 3) * 4 = 20",
        "Half of them: 48/2 = <<48/2=24>>24 clips.",
        "$1,200 + $34.50 = $1234.50",
        "10 / 3 = 3.33",
        "2 x 3 = 6, 6 ÷ 4 = 1.5, 7 × 8 = 56",
        "5 - 8 = -3",
        "So 3 = 3 and y + 2 = 7 and 10% * 5 = 9",  # nothing that can be read
        "2 * 3 = 1 + 5",
        "7 / 0 = 4",
        "2 * 3 = 60% of it",
        "2x = 5",
        "f(2) = 9 + 1",
        "9000 + 500 = 9{,}500",
        r"9\,000 + 500 = 9\,500 and 9 000 + 500 = 9 500",
        "9000 + 500 = 9'500",
        "750 * 2 = 1.5e3",
        "12 + 0 = 12:30",
        "5 - 8 = \u22123",
        "9000 + 500 = 9.500,00",
        "2 + 2 = 4_5",
        r"4 + 4 = 8\frac{1}{2}",
        "3,5 + 2 = 5.5",
        "",
    ],
)
def test_true_and_unreadable_equations_pass(text: str) -> None:
    assert false_equation(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3 * 5 = 16. 16 + 8 = 24.", "3 * 5 = 16"),
        ("First 2 + 2 = 4. Then 4 + 17 = 22.", "4 + 17 = 22"),
        ("10 / 3 = 3.34", "10 / 3 = 3.34"),
        ("10 / 3 = 3", "10 / 3 = 3"),
        ("$1,200 + $34 = $1,235", "1200 + 34 = 1235"),
        ("9{,}000 + 500 = 9{,}600", "9000 + 500 = 9600"),
        ("\uff15 + \uff15 = \uff11\uff11", "5 + 5 = 11"),
        ("(2 + 3) * 4 = 14", "(2 + 3) * 4 = 14"),
    ],
)
def test_false_equations_are_found(text: str, found: str) -> None:
    assert false_equation(text) == found


def test_rounding_allows_half_a_digit() -> None:
    assert _half_a_digit("3.33") == Fraction(1, 200)
    assert _half_a_digit("3") == 0


@pytest.mark.parametrize("family", SUMS, ids=lambda family: family.name)
def test_no_right_answer_of_the_mini_track_is_refused(family) -> None:
    domain, source, rng = Math(), Source("mini"), random.Random(0)
    for _ in range(50):
        problem = sample(family, "dev", rng)
        for style in STYLES:
            assert (
                domain.verify(example(problem.input, gold_response(problem, style)), source) is None
            )
        steps = problem.steps.replace(" = ", " = 9", 1)
        if family.name != "clock":
            wrong = domain.verify(example(problem.input, f"{steps} #### 1"), source)
            assert wrong == Rejected("false equation")


@pytest.mark.parametrize("family", FACTS, ids=lambda family: family.name)
def test_options_of_the_mini_track(family) -> None:
    domain, source, rng = Knowledge(), Source("mini"), random.Random(0)
    for _ in range(20):
        problem = sample(family, "dev", rng)
        assert len(options_of(problem.input)) == 4
        for style in STYLES:
            assert (
                domain.verify(example(problem.input, gold_response(problem, style)), source) is None
            )
        refused = domain.verify(example(problem.input, "the moon base"), source)
        assert refused == Rejected("none of the options")


def test_options_with_letters() -> None:
    domain, source = Knowledge(), Source("benchmark")
    text = "Which one?\nA. one\nB. two\nC. three\nD. four"
    assert options_of(text) == frozenset("abcd")
    assert domain.verify(example(text, "The answer is C."), source) is None
    assert domain.verify(example(text, "The answer is F."), source) is not None
    assert domain.verify(example("Who wrote Faust?", "Goethe"), source) is None
