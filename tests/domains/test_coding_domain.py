import pytest

from selfmoe.contracts.records import Example, Rejected, Source
from selfmoe_domain_coding import Coding
from selfmoe_domain_coding.checks import shown_examples


def test_another_form_that_works_is_right_only_leniently():
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    (benchmark,) = Coding().benchmarks(Source())
    doc = benchmark.items[0]
    assert benchmark.score(doc, doc["answer"]) == {"score": 0.0, "lenient": 1.0}
    assert benchmark.score(doc, "def f(x):\n    return undefined") == {"score": 0.0, "lenient": 0.0}


def test_what_cannot_be_a_program_never_reaches_the_sandbox(monkeypatch):
    import selfmoe.kits.domains.mini_track

    def refuse(program):
        raise AssertionError(f"would have run {program!r}")

    monkeypatch.setattr(selfmoe.kits.domains.mini_track, "passes", refuse)
    (benchmark,) = Coding().benchmarks(Source())
    assert benchmark.score(benchmark.items[0], "I do not know.") == {"score": 0.0, "lenient": 0.0}


ASKED = 'import math\ndef helper(x):\n    return x\ndef root(x):\n    """The root."""'


@pytest.mark.parametrize(
    ("task", "response", "reason"),
    [
        (ASKED, "import math\ndef root(x):\n    return math.sqrt(x)", None),
        (ASKED, "    return math.sqrt(x)", "not Python"),
        (ASKED, "```python\ndef root(x):\n    return 1\n```", "not Python"),
        (ASKED, "The root is x ** 0.5.", "not Python"),
        (ASKED, "def helper(x):\n    return x", "another function than asked for"),
        ("", "17", "no function"),
        ("", "Budapest", "no function"),
        ("numbers: 1, 2", "def any_name(x):\n    return x", None),
    ],
)
def test_answers_that_are_no_such_function_are_not_trained_on(task, response, reason):
    refused = Coding().accept(answered(task, response), Source("benchmark"))
    assert refused == (Rejected(reason) if reason else None)
    assert Coding().accept(answered(task, response), Source()) is None


def answered(task, response):
    return Example("1", "coding", "Complete the following Python function.", task, response)


SHOWN = '''import math
def twice(x):
    """Double x.
    >>> twice(2)
    4
    >>> twice("a\\\\n")
    'a\\\\na\\\\n'
    >>> print(x)
    prints x twice
    """'''


TYPED = '''from typing import List
def total(xs: List[int]) -> int:
    """Add up.
    >>> total([1, 2])
    3
    """'''


def test_examples_that_a_task_shows():
    assert shown_examples(SHOWN) == [("twice(2)", "4"), (r'twice("a\n")', r"'a\na\n'")]
    assert shown_examples("Write f(x): double. Example: f(2) == 4") == [("f(2)", "4")]
    assert shown_examples("def f(x):\n    '''>>>f(2)\n    4\n    '''") == []
    assert shown_examples("Example: f(2) == four times one") == []
    assert shown_examples("def broken(") == []


@pytest.mark.parametrize(
    ("task", "response", "reason"),
    [
        (SHOWN, "def twice(x):\n    return x * 2", None),
        (SHOWN, "def twice(x):\n    return x + 2", "fails its own example"),
        (SHOWN, "not Python", "fails its own example"),
        (TYPED, "def total(xs: List[int]) -> int:\n    return sum(xs)", None),
        (TYPED, "def total(xs: List[int]) -> int:\n    return len(xs)", "fails its own example"),
        ("Write f(x). Example: f(2) == 4", "def f(x):\n    return x ** 3", "fails its own example"),
        ("Write f(x).", "def f(x):\n    return x ** 3", None),
    ],
)
def test_programs_are_checked_by_the_examples_of_their_task(task, response, reason):
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    refused = Coding().verify(answered(task, response), Source("benchmark"))
    assert refused == (Rejected(reason) if reason else None)


def test_programs_agree_whatever_their_layout():
    track = Source("benchmark")
    one, two = "def f(x):\n  return (x+1) # next", "def f(x):\n\n    return x + 1\n"
    assert Coding().answer(one, track) == Coding().answer(two, track) != one
    assert Coding().answer("no program", track) is None
    assert Coding().answer("", track) is None
    assert Coding().answer(one, Source()) == one


def test_a_program_too_deep_to_be_written_out_agrees_with_nothing():
    deep = "def f(x):\n    return " + " + ".join(["x"] * 2000)
    assert Coding().answer(deep, Source("benchmark")) is None
