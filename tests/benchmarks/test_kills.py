"""Runs are killed at random moments and what differs is found, on a stand-in for a run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

import kills
from _generate import steadiness as page
from killing.files import differing, holds_times, timeless
from killing.moments import Moment, Timeline
from killing.processes import Start, strike
from killing.rounds import kill_and_resume

Json = dict[str, Any]

STAND_IN = """
import os, subprocess, sys, time
from pathlib import Path
from selfmoe.store.directory import RunDirectory
from selfmoe.store.manifest import Manifest, PlannedCell, StoredBase, StoredCell

run = RunDirectory(Path(sys.argv[1]))
cells = [(stage, f"d{n}") for stage in ("seeds", "brainstorm", "respond") for n in range(3)]
again = (run.root / "work" / "plan.json").exists()

def write(work, out):
    time.sleep(0.1)
    (out / "rows.jsonl").write_text("again" if again and "faulty" in sys.argv else "rows")

with run.writing():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    run.write_plan([
        PlannedCell(seed=0, stage=s, label=n, key="0123456789", path=f"{s}/{n}@0123456789", size="")
        for s, n in cells
    ])
    for stage, label in cells:
        cell = run.cell(stage, label, "0123456789")
        if cell.problem():
            cell.build(write, {"stage": stage})
    run.write_manifest(Manifest(
        format=1, base=StoredBase(name="none", hash="0"), versions={}, systems={}, left_out={},
        config={"base": "none", "preset": "demo"}, missing={}, cells={"0": {
            f"{s}/{n}": StoredCell(key="0123456789", path=f"{s}/{n}@0123456789") for s, n in cells
        }},
    ))
for child in __import__("psutil").Process().children():
    child.kill()
"""
"""Fills nine cells with something asleep beside it in a session of its own, as sandboxes are."""


@pytest.fixture
def starter(environment: Callable[..., dict[str, str]]) -> Callable[..., Start]:
    """Return what makes a ``Start`` of the stand-in, with further arguments."""

    def make(*arguments: str) -> Start:
        def start(out: Path) -> Any:
            return subprocess.Popen(
                [sys.executable, "-c", STAND_IN, str(out), *arguments],
                env=environment(),
                start_new_session=True,
            )

        return start

    return make


# --- moments --------------------------------------------------------------------------------------


def test_moments_are_told_by_cells_and_the_time_since() -> None:
    timeline = Timeline([0.0, 1.0, 4.0], 5.0)
    assert timeline.at(0.5) == Moment(0, 0.5)
    assert timeline.at(3.0) == Moment(1, 2.0)
    assert timeline.at(4.5) == Moment(2, 0.5)


def test_moments_are_spread_over_the_work_and_decided_by_a_seed() -> None:
    timeline = Timeline([float(n) for n in range(100)], 100.0)
    spread = timeline.spread(20, random.Random(3))
    assert [moment.cells // 5 for moment in spread] == list(range(20))
    assert spread == timeline.spread(20, random.Random(3))
    assert spread != timeline.spread(20, random.Random(4))


# --- kills ----------------------------------------------------------------------------------------


def test_a_killed_run_ends_with_the_same_files(
    starter: Callable[..., Start], tmp_path: Path
) -> None:
    rounds = kill_and_resume(starter(), tmp_path, kills=4, seed=0)
    assert len(rounds.falls) == 4
    assert len({fall.stage for fall in rounds.falls}) >= 2
    whole = timeless(rounds.undisturbed)
    assert len(whole) == 9 * 2 + 3
    assert all(timeless(run) == whole for run in rounds.killed)
    found = kills.row(rounds)
    assert (found["kills"], found["files"], found["files_with_times"]) == (4, 21, 10)
    assert found["differ"] == {}
    assert sum(found["stages"].values()) == 4


def test_what_differs_is_named(starter: Callable[..., Start], tmp_path: Path) -> None:
    rounds = kill_and_resume(starter("faulty"), tmp_path, kills=1, seed=1)
    [differ] = kills.row(rounds)["differ"].values()
    assert "respond/d2@0123456789/rows.jsonl" in differ
    assert "respond/d2@0123456789/cell.json" in differ  # it lists their hashes
    assert "manifest.json" not in differ
    assert "not the same: " in kills.told(kills.row(rounds))


def test_a_kill_takes_along_what_runs_in_sessions_of_its_own(
    starter: Callable[..., Start], tmp_path: Path
) -> None:
    process = starter()(tmp_path / "run")
    started: list[psutil.Process] = []
    while not started:
        started = psutil.Process(process.pid).children(recursive=True)
    assert strike(process, tmp_path / "run", Moment(1, 0.0)) is not None
    gone, alive = psutil.wait_procs(started, timeout=5)
    assert gone
    assert not alive


def test_a_run_that_fails_is_no_killed_one(tmp_path: Path) -> None:
    def start(out: Path) -> Any:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    with pytest.raises(RuntimeError, match="ended with 3"):
        kill_and_resume(start, tmp_path, kills=1, seed=0)


# --- files ----------------------------------------------------------------------------------------


def test_files_are_compared_by_name_and_bytes() -> None:
    one, other = {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "3"}
    assert differing(one, other) == ["b", "c", "d"]
    assert [name for name in ("run.lock", "experts/a@1/cell.json") if not holds_times(name)] == []
    assert not holds_times("experts/a@1/training.json")
    assert not holds_times("manifest.json")


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("faulty",)])
def test_the_command_says_what_differs_and_the_page_shows_it(
    starter: Callable[..., Start],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setattr(kills, "_starter", lambda file, log: starter(*arguments))
    (tmp_path / "small.yaml").write_text("preset: demo\n")
    target = tmp_path / "kills.json"
    asked = [str(tmp_path / "small.yaml"), "--kills", "2", "--json", str(target)]
    done = CliRunner().invoke(kills.command, [*asked, "--work", str(tmp_path / "work")])
    assert done.exit_code == len(arguments), done.output
    [found] = json.loads(target.read_text())["runs"]
    assert (found["settings"], found["kills"]) == ("small.yaml", 2)
    assert bool(found["differ"]) == bool(arguments)
    assert (tmp_path / "work" / "small" / "undisturbed" / "manifest.json").is_file()
    assert "| `none` | " in page.kills(target)
