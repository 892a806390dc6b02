import pytest

from selfmoe.records import Source
from selfmoe_domain_coding import Coding


def test_another_form_that_works_is_right_only_leniently():
    from selfmoe.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    (benchmark,) = Coding().benchmarks(Source())
    doc = benchmark.items[0]
    assert benchmark.score(doc, doc["answer"]) == {"score": 0.0, "lenient": 1.0}
    assert benchmark.score(doc, "def f(x):\n    return undefined") == {"score": 0.0, "lenient": 0.0}


def test_what_cannot_be_a_program_never_reaches_the_sandbox(monkeypatch):
    import selfmoe.mini

    def refuse(program):
        raise AssertionError(f"would have run {program!r}")

    monkeypatch.setattr(selfmoe.mini, "passes", refuse)
    (benchmark,) = Coding().benchmarks(Source())
    assert benchmark.score(benchmark.items[0], "I do not know.") == {"score": 0.0, "lenient": 0.0}
