"""On Windows and macOS: what only some systems have is imported where it is used, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HIDING = """
import sys

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}:
            raise ImportError(f"there is no {name} here")

for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hider())
"""

COMMAND = """
sys.argv[0] = "selfmoe"
from selfmoe.cli import main
main()
"""

LOCKING = """
from pathlib import Path
from selfmoe.contracts.errors import RunError
from selfmoe.store.directory import RunDirectory
run = RunDirectory(Path("run"))
assert run.holder() is None
try:
    with run.writing():
        pass
except RunError as error:
    print(error)
"""

SANDBOX = """
import os
from unittest.mock import patch
from selfmoe.cli.doctor.surroundings import sandbox
from selfmoe.evaluation.sandbox import available_tiers, run_sandboxed
with patch.object(sys, "platform", "win32"):
    print([finding.found for finding in sandbox()])
    print(set(available_tiers().values()))
    with patch.object(os, "name", "nt"):
        print(run_sandboxed("x = 1", unsafe=True))
"""

Script = Callable[..., str]


@pytest.fixture
def script(tmp_path: Path, environment: Callable[..., dict[str, str]]) -> Script:
    """Run Python where modules are hidden, and return what it wrote."""

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", HIDING + code, *arguments],
            env=environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_is_imported_and_runs_are_planned(script: Script) -> None:
    assert script("import selfmoe; print(selfmoe.run.__name__)") == "run\n"
    assert "topk" in script(COMMAND, "list-plugins")
    assert "0 of 64 cells are done" in script(COMMAND, "run", "--dry-run")


def test_where_nothing_can_be_locked_nothing_is_written(script: Script, tmp_path: Path) -> None:
    assert "cannot write to run: " in script(LOCKING)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]


def test_what_is_missing_of_the_sandbox_is_said(script: Script) -> None:
    found, tiers, verdict = script(SANDBOX).splitlines()
    assert "needs Linux, this is win32" in found
    assert tiers == "{'needs Linux, not win32'}"
    assert "infra_error" in verdict and "not run on win32" in verdict
