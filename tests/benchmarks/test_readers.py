"""Readers are the inverse of the families, and refuse what makes no sense."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest

from labels import label
from readers import READERS
from readers.coding import CASES, FunctionTruth
from selfmoe.contracts.randomness import rng_for
from selfmoe.evaluation import sandbox
from selfmoe.kits.domains.procedural import Family, gold_response

STYLES = {name: import_module(f"selfmoe_domain_{name}.mini").STYLE for name in READERS}
FAMILIES = [
    pytest.param(name, family, id=f"{name}-{family.name}")
    for name in READERS
    for family in import_module(f"selfmoe_domain_{name}.mini").FAMILIES
]
TEXTUAL = [case for case in FAMILIES if case.values[0] != "coding"]
CODING = [case.values[1] for case in FAMILIES if case.values[0] == "coding"]


def problems(family: Family, n: int = 200):
    rng = rng_for("readers", family.name)
    return [family.make(rng) for _ in range(n)]


@pytest.mark.parametrize(("domain", "family"), TEXTUAL)
def test_every_problem_is_read_as_its_family_answers_it(domain, family):
    for problem in problems(family):
        truth = READERS[domain](problem.input)
        assert truth is not None, problem.input
        assert (truth.family, truth.answer) == (family.name, problem.answer), problem.input
        assert not truth.spoilt


@pytest.mark.parametrize(("domain", "family"), TEXTUAL)
def test_right_answers_are_told_from_wrong_ones(domain, family):
    style, made = STYLES[domain], problems(family)
    wrong = [replace(p, answer=f"{p.answer}1", steps="") for p in made]
    for some, right in ((made, True), (wrong, False)):
        rows = [{"input": p.input, "response": gold_response(p, style)} for p in some]
        for one in label(domain, style, rows):
            assert one.sensible
            assert one.strict == one.lenient == right


@pytest.mark.parametrize("family", CODING, ids=lambda family: family.name)
def test_what_is_read_of_a_function_holds_of_the_family_s_own(family):
    for problem in problems(family):
        truth = READERS["coding"](problem.input)
        assert isinstance(truth, FunctionTruth), problem.input
        assert truth.family == family.name
        assert not truth.spoilt
        assert len(truth.tests) == 1 + CASES
        exec("\n".join((problem.code, *truth.tests)), {})
        exec("\n".join((f"def f(x):\n    return {truth.answer}", *problem.tests)), {})


@pytest.mark.skipif(sandbox.best_tier() is None, reason="no sandbox")
def test_right_programs_are_told_from_wrong_ones_in_the_sandbox():
    task = "Write f(x) for a list x: keep the even numbers, then add them up."
    rows = [
        ("right", f"{task} Example: f([1, 2]) == 2", "def f(x):\n    return sum(x[1:2])"),
        ("plain", task, "def f(x):\n    return sum([v for v in x if v % 2 == 0])"),
        ("other", task, "So the answer is sum([v for v in x if v % 2 == 0])."),
        ("wrong", task, "def f(x):\n    return sum(x)"),
        ("cut", task, "def f(x):\n    return sum([v for"),
        ("quits", task, "import os\ndef f(x):\n    os._exit(0)"),
        (
            "spoilt",
            f"{task} Example: f([1, 2]) == 3",
            "def f(x):\n    return sum(v for v in x if not v % 2)",
        ),
    ]
    labels = label("coding", "code", [{"input": text, "response": r} for _, text, r in rows])
    found = {row[0]: (x.sensible, x.strict, x.lenient) for row, x in zip(rows, labels, strict=True)}
    assert found == {
        "right": (True, False, False),
        "plain": (True, True, True),
        "other": (True, False, True),
        "wrong": (True, False, False),
        "cut": (True, False, False),
        "quits": (True, False, False),
        "spoilt": (False, True, True),
    }


VARIANTS = {
    "math": {
        "Today Ida has 7 marbles, gets 5 more and then gives 2 to Max. How many are left?": "10",
        "Today Ann has 4 pens and gives 4 to Ben. How many are left?": "0",
        "The train starts at 23:50 and takes 0:20. When does it end?": "0:10",
        "The row is 5, 3, 1. Which number comes next?": "-1",
        "Today Ann is 8 years old and Ben is half as old. How old is Ann in 2 years?": "10",
        "There are 120 crates with 30 plums in each. How many plums are there?": "3600",
    },
    "reasoning": {
        "Here Ida has 3, Max has 40 and Ida has 3 nuts. Who has the fewest?": "Ida",
        "Here Ann lies. Now Ben says Ann lies. Now Eva says Ann lies. Does Ben tell the "
        "truth?": "yes",
        "Is it true that 12 < 7 or 3 < 5 and not 2 > 1?": "False",
        "Here Ann is taller than Ben. Here Leo is shorter than Ben. Here Leo is taller than Tom. "
        "Who is the third?": "Leo",
        "The row is red, gold, red. How many are pink?": "0",
        "The table is Ann red 5; Ben blue 7. Who has 7?": "Ben",
        "I see 2 cats, 3 cats and 1 axes. How many animals are there?": "5",
        "You walk 2 back, then 6 back. How many steps are you from the start?": "8",
        "Today Ida swims; it is Sunday. What day is 8 days after that?": "Monday",
        "The balls: Ann red, Ben blue. Then Ben and Ann swap. Which ball has Ben now?": "red",
        "The key is in the box. Then Ann puts the coin in the cup. Where is the coin?": "cup",
    },
    "knowledge": {
        "What is the capital of Peru? Options: Lima, Rome.": "Lima",
        "Which planet is nearest to the Sun? Options: Mars, Mars, Saturn.": "Mars",
        "Which of these is a bird? Options: owl, cod, owl, cow, bee.": "owl",
    },
    "coding": {
        "Write f(x) for a list x: sort them, then take the last 2, then add them up, then double "
        "it.": "sum(sorted(x)[-2:]) * 2",
        "Write f(x) for a string x: put it in capitals, then count the words.": "len(x.split())",
        "Write f(x) for a string x: return its longest word. Example: f('a bc') == 'bc'.": (
            "max(x.split(), key=len)"
        ),
    },
}


@pytest.mark.parametrize(
    ("domain", "text", "answer"),
    [(d, *case) for d, cases in VARIANTS.items() for case in cases.items()],
)
def test_variants_that_make_sense_are_read(domain, text, answer):
    truth = READERS[domain](text)
    assert truth is not None
    assert not truth.spoilt
    if isinstance(truth, FunctionTruth):
        exec("\n".join((f"def f(x):\n    return {answer}", *truth.tests)), {})
    else:
        assert truth.answer == answer


NONSENSE = {
    "math": (
        "",
        "Today Ann has 4 pens and gives 5 to Ben. How many are left?",
        "Today Ann has 4 pens and gives 2 to Ann. How many are left?",
        "Today Ann has 4 pens and eats 2 more. How many are there now?",
        "There are 3 boxes with 4 pens in each. How many eggs are there?",
        "Here 3 friends share 10 eggs equally. How many does each one get?",
        "Here 0 friends share 10 eggs equally. How many does each one get?",
        "Today Ann has 4 pens and Ben has 3 more than Eva. How many do they have together?",
        "Today Ann buys 9 pens at 9 dollars each and pays 50 dollars. How many dollars come back?",
        "One pack of pens costs 2 dollars. A box of 3 packs is 6 dollars cheaper than the packs. "
        "What does the box cost?",
        "The film starts at 25:10 and takes 1:10. When does it end?",
        "The film starts at 8:10 and takes 1:75. When does it end?",
        "The row is 1, 2, 4, 7. Which number comes next?",
        "The row is 1, 2. Which number comes next?",
        "Today Ann is 9 years old and Ben is half as old. How old is Ben in 2 years?",
        "Today Ann is 8 years old and Ann is half as old. How old is Ann in 2 years?",
        "Today Ann is 8 years old and Ben is half as old. How old is Eva in 2 years?",
    ),
    "reasoning": (
        "",
        "Is it true that 3 < ?",
        "Is it true that red < 3?",
        "What is (True and) or False?",
        "What is 3?",
        "Here Ann lies. Now Ben says Eva lies. Does Ben tell the truth?",
        "Here Ann lies. Here Ann tells the truth. Does Ann tell the truth?",
        "Here Ann lies. Now Ben says Ben lies. Does Ben tell the truth?",
        "Here Ann lies. Now Ben says Ann lies. Does Tom tell the truth?",
        "Here Ann has 3, Ben has 3 and Eva has 1 pens. Who has the most?",
        "Here Ann has 3, Ann has 4 and Eva has 1 pens. Who has the most?",
        "Here Ann is taller than Ben. Here Ann is taller than Eva. Who is the second?",
        "Here Ann is taller than Ben. Here Ben is taller than Ann. Who is the tallest?",
        "Here Ann is taller than Ann. Here Ben is taller than Ann. Who is the tallest?",
        "The row is red, blue. What is the third?",
        "The row is red, blue. What is the red?",
        "The table is Ann red 5; Ann blue 7. Which number has Ann?",
        "The table is Ann red 5; Ben blue 7. Who has pink?",
        "The table is Ann red; Ben blue 7. Who has red?",
        "I see 2 cats and 3 clouds. How many animals are there?",
        "I see 2 cats and 3 pigs. How many clouds are there?",
        "Today Ann works; it is May. What day is 3 days after that?",
        "The key is in the box. The key is in the bag. Where is the key?",
        "The key is in the box. Then Ann puts the key in the bag. Where is the coin?",
        "The key is in the box. Then Ann eats the key. Where is the key?",
        "You face up. Turn left. Which way do you face?",
        "You face north. Turn over. Which way do you face?",
        "You walk 3 forward, then 2 red. How many steps are you from the start?",
        "The balls: Ann red, Ben blue. Then Ann and Eva swap. Which ball has Ann now?",
        "The balls: Ann red, Ben blue. Then Ann and Ann swap. Which ball has Ann now?",
        "The balls: Ann red, Ann blue. Then Ann and Ben swap. Which ball has Ann now?",
        "The balls: Ann red, Ben blue. Then Ann and Ben swap. Which ball has Eva now?",
    ),
    "knowledge": (
        "",
        "What is the capital of Peru?",
        "What is the capital of Peru? Options: Lima.",
        "What is the capital of Atlantis? Options: Lima, Rome, Paris, Bern.",
        "Which of these is a mammal? Options: cow, bear, owl, cod.",
        "Which of these is a mammal? Options: bee, eel, owl, cod.",
        "Which of these is a mammal? Options: cow, table, owl, cod.",
        "Which of these is a song? Options: cow, bee, owl, cod.",
        "Which of these is not a mammal? Options: cow, bee, owl, bear.",
        "Which animal is of the same kind as the cow? Options: cow, bee, owl, cod.",
        "Which animal is of the same kind as the chair? Options: cow, bee, owl, cod.",
        "Which planet is nearest to the Sun? Options: Mars, Moon, Venus, Saturn.",
    ),
    "coding": (
        "",
        "Write f(x) for a list x: eat them.",
        "Write f(x) for a list x: reverse it. Example: f([1, 2]) == [2, 1]",
        "Write f(x) for a list x: count them, then sort the words.",
        "Write f(x) for a string x: return its length. Example: f('ab) == 2",
        "Write f(x) for a list x: take the last 0, then count them.",
        "Write f(x) for a list x: keep the multiples of 0, then count them.",
        "Write f(x) for a list x: keep the numbers above 90, then return the largest.",
        "Write f(x) for a tree x: count them.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("domain", "text"), [(d, t) for d, texts in NONSENSE.items() for t in texts]
)
def test_what_makes_no_sense_has_no_truth(domain, text):
    assert READERS[domain](text) is None


@pytest.mark.parametrize(
    ("domain", "text", "answer"),
    [
        ("knowledge", "What is the capital of Peru? Options: Rome, Bern, Oslo, Doha.", "Lima"),
        ("coding", "Write f(x) for a list x: count them. Example: f([1, 2]) == 3", "len((x))"),
        ("coding", "Write f(x) for a list x: count them. Example: f('ab') == 2", "len((x))"),
        ("coding", "Write f(x) for a list x: return the first. Example: f([]) == 0", "(x)[0]"),
    ],
)
def test_tasks_that_exclude_their_answer_are_spoilt(domain, text, answer):
    truth = READERS[domain](text)
    assert truth is not None
    assert truth.spoilt
    assert truth.answer == answer
