"""What a comparison of logs found, as types."""

from __future__ import annotations

from typing import Literal

from selfmoe.reporting.model import Estimate
from selfmoe.store.record import StrictRecord

Test = Literal["McNemar, exact", "sign flips"]


class ComparedMetric(StrictRecord):
    """Two models by one metric of one task, on the items that both were asked.

    Attributes:
        task: The task; ``average`` for the mean over all tasks.
        metric: The metric; behind a comma the filter, where lm-eval has several.
        n: Items that both were asked.
        a: Mean of the first model.
        b: Mean of the second.
        difference: ``b`` less ``a``: its interval over items (normal), and the p of ``test``.
        test: How p was computed.
        won: Items that ``b`` does better at.
        lost: Items that ``a`` does better at.
        equal: All other items.
        lower_is_better: Whether less is better; as the log says, else more is.
        share: Whether all values lie in 0..1.
    """

    task: str
    metric: str
    n: int
    a: float
    b: float
    difference: Estimate
    test: Test
    won: int
    lost: int
    equal: int
    lower_is_better: bool
    share: bool


class ComparedLogs(StrictRecord):
    """Two models by their logs.

    Attributes:
        a: Where the first one's lie.
        b: Where the second one's lie.
        confidence: How sure the intervals are, 0..1.
        rows: By task and metric.
        notes: What was not compared, and what differs, in words.
    """

    a: str
    b: str
    confidence: float
    rows: list[ComparedMetric]
    notes: list[str]
