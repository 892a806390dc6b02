"""Self-consistency: which of several answers an expert learns from."""

from __future__ import annotations

import pytest

from selfmoe.pipeline.curation.agreement import settle


def last(answer: str) -> str | None:
    return answer.split()[-1] if answer.strip() else None


@pytest.mark.parametrize("asked", range(2, 33))
def test_the_share_asked_for_is_enough(asked):
    for agreed in range(1, asked + 1):
        answers = ["4"] * agreed + [""] * (asked - agreed)
        for hundredths in range(1, 101):
            enough = 100 * agreed >= hundredths * asked
            assert (settle(answers, last, asked, hundredths / 100) == "4") is enough


@pytest.mark.parametrize(
    ("answers", "share", "chosen"),
    [
        (["so 4", "is 4", "5"], 0.5, "so 4"),
        (["so 5", "is 4", "4"], 0.5, "is 4"),
        (["1", "2", "3"], 0.5, None),
        (["1", "2", "3"], 0.25, "1"),
        (["1", "2", "2", "1"], 0.5, "1"),
        (["", "7", "so 7"], 0.75, None),
        (["", "7", "so 7", "7"], 0.75, "7"),
        (["", " "], 0.1, None),
        ([], 0.1, None),
    ],
)
def test_the_most_frequent_answer_wins_if_enough_agree(answers, share, chosen):
    assert settle(answers, last, 4, share) == chosen
