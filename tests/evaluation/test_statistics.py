import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfmoe.evaluation.statistics import mean_stderr, wilson


def test_mean_and_standard_error_equal_those_of_lm_eval():
    from lm_eval.api.metrics import mean_stderr as reference

    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    mean, stderr = mean_stderr(values)
    assert mean == pytest.approx(0.6)
    assert stderr == pytest.approx(reference(values))


def test_one_value_has_no_known_error():
    assert mean_stderr([1.0]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (5, 10, 0.23659, 0.76341),
        (81, 263, 0.25529, 0.36621),  # Newcombe 1998, table I
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share(pair):
    successes, n = pair
    low, high = wilson(successes, n)
    assert 0.0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1.0
