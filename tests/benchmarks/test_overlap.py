"""When the model writes and when programs run: spans are noted and what they share is summed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from _generate import overlap as page
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


def test_the_page_has_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "overlap.json"
    assert page.section(file) == ""
    found = {
        "command": "c", "base": "b", "items": 82, "writing": 286.9, "running": 1.93, "both": 1.73,
        "waited": 288.3, "template": "chat", "threads": 1, "processor": "P",
    }  # fmt: skip
    file.write_text(json.dumps(found), "utf-8")
    assert "ran for 1.9 s, 1.7 s of these\nmeanwhile; the whole took 288 s" in page.section(file)
