"""One process at a time: locks that are waited for, and cells that a worker is still filling."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfmoe.contracts.errors import RunError
from selfmoe.store.cell import LOCK
from selfmoe.store.directory import RunDirectory
from selfmoe.store.lock import awaited, held

HOLD = """
import sys
from pathlib import Path
from selfmoe.store.lock import awaited
with awaited(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""

Hold = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def hold(environment: Callable[..., dict[str, str]]) -> Iterator[Hold]:
    """Return what lets another process hold a lock, until it is told or killed."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_who_holds_it_too_long_is_named(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path / "cell" / "x.lock")
    with (
        pytest.raises(RunError, match=rf"cell is being filled by process {process.pid} on "),
        awaited(tmp_path / "cell" / "x.lock", seconds=0.1),
    ):
        raise AssertionError("two hold it")


def test_it_is_waited_for_and_goes_with_a_killed_process(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path / "x.lock")
    threading.Timer(0.3, process.kill).start()
    with awaited(tmp_path / "x.lock", seconds=20), held(tmp_path / "x.lock") as other:
        assert other is not None


def test_what_a_worker_that_outlived_its_run_is_at_is_not_swept_up(
    tmp_path: Path, hold: Hold
) -> None:
    run = RunDirectory(tmp_path)
    cells = [run.cell("experts", name, "0123456789") for name in ("live", "dead")]
    left = [path for cell in cells for path in (
        cell.path.with_name(f".{cell.path.name}.tmp-7"), cell.work / ".shard.tmp-7",
    )]  # fmt: skip
    for path in left:
        path.mkdir(parents=True)
    process = hold(cells[0].work / LOCK)
    with run.writing():
        assert [path.exists() for path in left] == [True, True, False, False]
    process.kill()
    process.wait()
    with run.writing():
        assert not any(path.exists() for path in left)


def test_what_a_worker_left_that_was_killed_meanwhile_is_gone_at_the_end(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.writing():
        left = run.cell("seeds", "x", "0123456789").path.with_name(".x@0123456789.tmp-7")
        left.mkdir(parents=True)
    assert not left.exists()


def test_a_cell_is_filled_by_one_at_a_time_and_leaves_no_work(tmp_path: Path) -> None:
    cell = RunDirectory(tmp_path).cell("experts", "x", "0123456789")
    with cell.locked():
        with held(cell.work / LOCK) as other:
            assert other is not None
        cell.build(lambda work, out: (out / "a").write_text("b") and None, {})
    assert not cell.work.exists()
    with pytest.raises(ValueError, match="no"), cell.locked():
        raise ValueError("no")
