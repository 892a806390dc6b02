"""Runs by two processes of this machine, as users start them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from killing.files import differing, timeless
from killing.workers import kill_workers
from selfmoe.store.files import SEAL

Start = Callable[..., "subprocess.Popen[str]"]

SLEEPING = """
    def seeds(self, *arguments):
        import time
        time.sleep(600)
"""


@pytest.fixture
def start(environment: Callable[..., dict[str, str]], tmp_path: Path) -> Start:
    """Return what starts a run in a process group of its own: ``start(file, "--workers", "2")``."""

    def starting(file: Path, *flags: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "selfmoe",
            "run",
            str(file),
            "--out",
            str(tmp_path / "run"),
        ]
        return subprocess.Popen(
            [*command, *flags], env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return starting


def until(reached: Callable[[], Any], seconds: float = 120.0) -> Any:
    due = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < due, "it did not come to that in time"
        time.sleep(0.05)
    return found


def at_work(process: subprocess.Popen[str], run: Path) -> list[psutil.Process]:
    """Return the workers of a run, once one of them fills a cell."""
    until(lambda: list(run.glob("work/*/*/cell.lock")))
    return psutil.Process(process.pid).children(recursive=True)


def test_two_workers_of_which_one_is_killed_end_with_the_files_of_one_process(
    write_run: Callable[..., Path], start: Start, tmp_path: Path
) -> None:
    one = start(write_run())
    assert (one.wait(280), (tmp_path / "run").rename(tmp_path / "one"))[0] == 0
    two = start(write_run(), "--workers", "2")
    try:
        fallen, made_again = kill_workers(two, tmp_path / "run", [0.0], random.Random(0))
    finally:
        two.kill()
    said = two.stderr.read() if two.stderr else ""
    assert (len(fallen), made_again) == (1, [])
    assert said.count("its worker process died; it is done again") == 1
    assert differing(timeless(tmp_path / "one"), timeless(tmp_path / "run")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_run(
    write_run: Callable[..., Path],
    start: Start,
    tmp_path: Path,
    plugin_code: str,
    number: signal.Signals,
) -> None:
    name = '    name = "anything"\n'
    process = start(write_run(code=plugin_code.replace(name, name + SLEEPING)), "--workers", "2")
    try:
        workers = at_work(process, tmp_path / "run")
        assert len(workers) >= 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does it
            assert process.wait(60) == 130
            said = process.stderr.read() if process.stderr else ""
            assert said.endswith("\nInterrupted; the same command goes on from here.\n")
            assert "Traceback" not in said
        else:
            process.kill()
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive
    finally:
        process.kill()


def test_what_fails_in_a_worker_is_told_and_the_rest_is_done(
    write_run: Callable[..., Path], start: Start, tmp_path: Path, plugin_code: str
) -> None:
    changes = {"domains": ["anything", "nothing"], "compose": {"ties": {"merge": "ties"}}}
    process = start(write_run(changes), "--workers", "2")
    _, said = process.communicate(timeout=280)
    assert process.returncode == 1
    assert "curate nothing: curate kept 0 of " in said
    assert "Traceback" not in said
    seals = {
        path.parent.name.partition("@")[0] for path in (tmp_path / "run").glob(f"experts/*/{SEAL}")
    }
    assert seals == {"anything"}
