"""The toolbox for procedural mini tracks: splits, draws, styles, scoring."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter

import pytest

from selfmoe.contracts.randomness import rng_for
from selfmoe.kits.domains.procedural import (
    SPLITS,
    STYLES,
    WORDINGS,
    Family,
    Item,
    Problem,
    Split,
    Style,
    draw,
    gold_response,
    lenient,
    program,
    sample,
    split_of,
    strict,
)


def _sum(rng: random.Random) -> Problem:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    c = a + b
    return Problem("sum", f"What is {a} + {b}?", str(c), f"{a} + {b} = {c}.", f"print({c})")


def _double(rng: random.Random) -> Problem:
    a = rng.randint(2, 999)
    return Problem("double", f"Double {a}.", str(2 * a), "", f"print({2 * a})")


FAMILIES = (Family("sum", _sum), Family("double", _double))


def _draw(
    split: Split, n: int, seed: int = 0, style: Style = "marked", **more: float
) -> list[Item]:
    return draw(FAMILIES, split, n, seed, domain="sums", style=style, **more)


def test_splits_are_disjoint_whatever_the_seeds() -> None:
    inputs = {s: {i.input for i in _draw(s, 60, seed)} for seed, s in enumerate(SPLITS)}
    for one in SPLITS:
        assert all(split_of(text) == one for text in inputs[one])
        assert all(inputs[one].isdisjoint(inputs[two]) for two in SPLITS if two != one)


def test_split_ignores_case_and_spacing_and_has_the_documented_shares() -> None:
    assert split_of("What  is 2 + 2?\n") == split_of("what is 2 + 2?")
    shares = Counter(split_of(f"text {i}") for i in range(10_000))
    for split, share in {"seeds": 10, "dev": 15, "test": 15, "corpus": 60}.items():
        assert abs(shares[split] / 100 - share) < 1.5


def test_draw_is_distinct_in_turns_and_a_prefix_of_a_longer_one() -> None:
    items = _draw("test", 120)
    assert len({i.input for i in items}) == len({i.id for i in items}) == 120
    assert [i.family for i in items[:4]] == ["sum", "double", "sum", "double"]
    assert _draw("test", 30) == items[:30]
    assert _draw("test", 30, seed=1) != items[:30]


@pytest.mark.parametrize("matched", [0.0, 0.4, 1.0])
def test_draw_keeps_the_share_of_matching_wordings(matched: float) -> None:
    items = _draw("dev", 100, style="worked", matched=matched)
    agreeing = sum(item.instruction in WORDINGS["worked"] for item in items)
    assert agreeing == round(100 * matched)


def test_draw_does_not_touch_or_need_global_randomness() -> None:
    random.seed(1)
    before = random.getstate()
    _draw("seeds", 10)
    assert random.getstate() == before


def test_draw_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import json, random; from selfmoe.kits.domains.procedural import *\n"
        "make = lambda rng: Problem('f', f'n {rng.random()}', 'a', '', 'print(1)')\n"
        "items = draw((Family('f', make),), 'dev', 20, 7, domain='d', style='bare')\n"
        "print(json.dumps([i.to_dict() for i in items]))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])) == 20


def test_exhausted_families_are_a_clear_error() -> None:
    few = Family("few", lambda rng: Problem("few", f"{rng.randint(1, 40)}", "1", "", "print(1)"))
    with pytest.raises(ValueError, match=r"'few' has too few distinct problems in split 'test'"):
        draw((few,), "test", 500, 0, domain="d", style="bare")
    one = Family("one", lambda rng: Problem("one", "always this", "1", "", "print(1)"))
    other = next(split for split in SPLITS if split != split_of("always this"))
    with pytest.raises(ValueError, match="'one' yields no problem"):
        sample(one, other, rng_for(0))


def test_item_to_dict_is_json_ready() -> None:
    item = _draw("seeds", 1)[0]
    assert json.loads(json.dumps(item.to_dict())) == item.to_dict()
    assert set(item.to_dict()) == {
        "id", "family", "instruction", "input", "response", "answer", "tests"
    }  # fmt: skip
    assert item.id.startswith("sums-mini-")


GOLDEN = [
    # response, style it has, the answer it gives
    ("Oslo", "bare", "Oslo"),
    ("-7", "bare", "-7"),
    ("So the answer is Oslo.", "worked", "Oslo"),
    ("3 + 4 = 7. So the answer is 7.", "worked", "7"),
    ("3 + 4 = 7. #### 7", "marked", "7"),
    ("#### New Delhi", "marked", "New Delhi"),
    ("Step one.\nStep two.\n#### 12", "marked", "12"),
    ("print(7)", "code", "7"),
    ('print("New Delhi")', "code", "New Delhi"),
    ("print(True)", "code", "True"),
]


@pytest.mark.parametrize(("response", "style", "answer"), GOLDEN)
def test_golden_table(response: str, style: Style, answer: str) -> None:
    assert lenient(response, answer)
    assert strict(style, f" {response}\n", answer)
    for other in STYLES:
        assert strict(other, response, answer) == (other == style)
    assert not lenient(response, answer + "1")
    assert not strict(style, response, answer + "1")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("", "7"),
        ("17", "7"),
        ("7 or 8", "7"),
        ("7 dollars", "7"),
        ("#### 7 #### 8", "7"),
        ("So the answer is 7. So the answer is 8.", "7"),
        ("#### 7\n\n#### 8", "7"),
        ("3 + 4 = 7.", "7"),
    ],
)
def test_wrong_or_unclear_responses_score_zero(response: str, answer: str) -> None:
    assert not lenient(response, answer)
    assert not any(strict(style, response, answer) for style in STYLES)


def test_lenient_forgives_case_and_a_final_stop_and_strict_does_not() -> None:
    assert lenient("oslo.", "Oslo")
    assert lenient("東京。", "東京")
    assert lenient("दिल्ली।", "दिल्ली")
    assert lenient("МОСКВА", "Москва")
    assert not lenient("काल", "कल")
    assert not strict("bare", "oslo", "Oslo")
    assert not strict("bare", "Oslo.", "Oslo")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_gold_is_right_in_every_style(family: Family, style: Style) -> None:
    problem = family.make(rng_for("gold"))
    assert strict(style, gold_response(problem, style), problem.answer)
    assert lenient(gold_response(problem, style), problem.answer)


@pytest.mark.parametrize(
    ("response", "body"),
    [
        ("def f(x):\n    return sum(x)", "sum(x)"),
        ("sum(x)", "sum(x)"),
        ("Add them up. So the answer is sum(x).", "sum(x)"),
        ("Add them up. #### sum(x)", "sum(x)"),
        ("So the answer is x[::-1][0].", "x[::-1][0]"),
    ],
)
def test_program_from_any_style(response: str, body: str) -> None:
    assert program(response) == f"def f(x):\n    return {body}"
    is_definition = response.startswith("def")
    assert (program(response, strict=True) is not None) == is_definition


@pytest.mark.parametrize(
    "response",
    ["", "def f(x):", "def g(x):\n    return x", "def f(x):\n  return )", "7", "a list x", "#### "],
)
def test_no_program(response: str) -> None:
    assert program(response) is None
