"""Shards in turns: what is asked next overlaps with what is finished, and nothing else changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from selfmoe.store.shards import Row, Share, ShareFilled, in_shards, in_turns

STUBS: list[Row] = [{"id": n} for n in range(10)]
Finish = Callable[[Any, Any], list[Row]]


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def finished(part: Any, asked: Any) -> list[Row]:
    return [{**stub, "answer": asked} for stub in part]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_rows_and_files_are_those_of_one_after_the_other(
    tmp_path: Path, background: ThreadPoolExecutor
) -> None:
    told: list[tuple[int, int]] = []
    rows = in_turns(
        tmp_path / "turns", STUBS, 4, lambda n, part: n, finished, background,
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert rows == in_shards(tmp_path / "plain", STUBS, 4, lambda n, part: finished(part, n))
    assert contents(tmp_path / "turns") == contents(tmp_path / "plain")
    assert told == [(0, 10), (4, 10), (8, 10), (10, 10)]


def test_a_shard_is_finished_while_the_next_is_asked(
    tmp_path: Path, background: ThreadPoolExecutor
) -> None:
    begun = [threading.Event() for _ in range(4)]
    begun[3].set()  # nothing comes after the last one

    def ask(index: int, part: Any) -> int:
        begun[index].set()
        return index

    def finish(part: Any, asked: int) -> list[Row]:
        assert begun[asked + 1].wait(20), "the next shard was not asked meanwhile"
        return finished(part, asked)

    assert len(in_turns(tmp_path, STUBS, 4, ask, finish, background)) == 10


def test_it_is_committed_while_the_next_is_asked(
    tmp_path: Path, background: ThreadPoolExecutor
) -> None:
    def ask(index: int, part: Any) -> int:
        if index == 2:
            background.submit(int).result()  # whatever waited before is done
            assert sorted(contents(tmp_path)) == ["shard-00000.jsonl", "shard-00001.jsonl"]
        return index

    in_turns(tmp_path, STUBS, 4, ask, finished, background)


def test_work_that_ends_early_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    def killed(index: int, part: Any) -> int:
        if index == 2:
            raise KeyboardInterrupt
        return index

    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as pool:
        in_turns(tmp_path, STUBS, 4, killed, finished, pool)
    asked: list[int] = []

    def ask(index: int, part: Any) -> int:
        asked.append(index)
        return index

    with ThreadPoolExecutor(1) as pool:
        rows = in_turns(tmp_path, STUBS, 4, ask, finished, pool)
    assert asked == [2]
    assert [row["answer"] for row in rows] == [0] * 4 + [1] * 4 + [2] * 2


def test_what_cannot_be_finished_is_raised_and_not_kept(
    tmp_path: Path, background: ThreadPoolExecutor
) -> None:
    asked: list[int] = []

    def ask(index: int, part: Any) -> int:
        asked.append(index)
        return index

    def finish(part: Any, index: int) -> list[Row]:
        if index == 1:
            raise ZeroDivisionError
        return finished(part, index)

    with pytest.raises(ZeroDivisionError):
        in_turns(tmp_path, [{"id": n} for n in range(40)], 4, ask, finish, background)
    assert asked == [0, 1, 2]
    assert sorted(contents(tmp_path)) == ["shard-00000.jsonl"]


def test_a_damaged_shard_is_asked_again(tmp_path: Path, background: ThreadPoolExecutor) -> None:
    whole = in_turns(tmp_path, STUBS, 4, lambda n, part: n, finished, background)
    (tmp_path / "shard-00001.jsonl").write_text("{")
    asked: list[int] = []

    def ask(index: int, part: Any) -> int:
        asked.append(index)
        return index

    assert in_turns(tmp_path, STUBS, 4, ask, finished, background) == whole
    assert asked == [1]


# --- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [False, True])
def test_shares_are_the_shards_of_the_whole_and_none_twice(
    tmp_path: Path, background: ThreadPoolExecutor, turns: bool
) -> None:
    asked: list[int] = []

    def ask(index: int, part: Any) -> int:
        asked.append(index)
        return index

    def fill(share: Share | None) -> list[Row]:
        if turns:
            return in_turns(tmp_path / "x", STUBS, 2, ask, finished, background, None, share)
        made = lambda n, part: finished(part, ask(n, part))  # noqa: E731
        return in_shards(tmp_path / "x", STUBS, 2, made, None, share)

    for first, filled in ((1, [1, 3]), (0, [0, 2, 4])):
        asked.clear()
        with pytest.raises(ShareFilled):
            fill(Share(first, 2))
        assert asked == filled
    asked.clear()
    assert fill(None) == in_shards(tmp_path / "y", STUBS, 2, lambda n, part: finished(part, n))
    assert asked == []
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


def test_nobody_makes_a_shard_that_another_is_making(tmp_path: Path) -> None:
    begun, made = threading.Barrier(2, timeout=20), []

    def fill(index: int, part: Any) -> list[Row]:
        made.append(index)
        time.sleep(0.2)
        return finished(part, index)

    def rows() -> list[Row]:
        begun.wait()
        return in_shards(tmp_path, STUBS, 5, fill)

    with ThreadPoolExecutor(2) as pool:
        one, other = (pool.submit(rows) for _ in range(2))
        assert one.result(20) == other.result(20)
    assert sorted(made) == [0, 1]
    assert sorted(contents(tmp_path)) == ["shard-00000.jsonl", "shard-00001.jsonl"]
