"""When the model writes and when programs run: spans are noted and what they share is summed."""

from __future__ import annotations

import pytest

from overlap import lasting, shared, timed
from selfmoe.evaluation.asking import Asker


def test_what_spans_share() -> None:
    wrote, ran = [(0.0, 4.0), (5.0, 9.0)], [(3.0, 6.0), (9.5, 10.0)]
    assert lasting(wrote) == 8.0
    assert shared(wrote, ran) == shared(ran, wrote) == 2.0
    assert shared(wrote, []) == 0.0


def test_calls_are_noted_also_where_they_fail() -> None:
    with timed("finish") as spans, pytest.raises(AttributeError):
        Asker.finish(None, None, [], {})  # type: ignore[arg-type]
    ((start, end),) = spans
    assert start <= end
    assert "noting" not in Asker.finish.__qualname__
