import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfmoe.evaluation.statistics import mcnemar, mean_stderr, sign_flip, wilson


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


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (4, 1, 12 / 32), (3, 3, 1.0)]
)
def test_mcnemar_is_the_sign_test_of_what_differs(won, lost, p):
    assert mcnemar(won, lost) == pytest.approx(p)
    assert sign_flip([1.0] * won + [-1.0] * lost + [0.0] * 9) == pytest.approx(p)


def test_sign_flips_are_counted_where_there_are_few():
    assert sign_flip([]) == sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([1.0, 2.0, -0.5]) == pytest.approx(4 / 8)  # sums of 3.5 and 2.5, both signs


def test_sign_flips_are_drawn_where_there_are_many():
    values = [0.3] * 40 + [-0.3] * 22
    drawn, exact = sign_flip(values), mcnemar(40, 22)
    assert drawn == sign_flip(values)
    assert drawn == pytest.approx(exact, abs=0.002)
    assert sign_flip([1.0] * 100) == pytest.approx(1 / 100_001)


def test_sign_flips_are_counted_where_they_can_be_and_drawn_where_not():
    assert sign_flip([1.0, 1.0, 1.0]) == 0.25
    assert sign_flip([1.0, -1.0]) == 1.0
    assert sign_flip([0.5] * 39) < 0.001
    assert sign_flip([1.0, -1.0] * 19) == 1.0
