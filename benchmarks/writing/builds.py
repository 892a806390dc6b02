"""Builds of selfmoe, and one round of a job with the code of one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]
HERE = Path(__file__).parents[2]
FORMER = "98d3e45"
"""The commit whose build is measured against."""

_FOLDERS = ("", "domains", "routers", "plugins")


@contextmanager
def former(given: Path | None) -> Iterator[Path]:
    """Give the folder of the former build: the one that is given, or a worktree for the while.

    Raises:
        RuntimeError: If git has no such commit, as in a shallow clone.
    """
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "former"
        _git("worktree", "add", "--detach", str(tree), FORMER)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} {arguments[1]}: {done.stderr.strip()}")


def carry_out(job: Json, worker: str = "writing.worker") -> Any:
    """Return the result of a job, done in a process of its own with the code of its build.

    Args:
        job: With ``build``, ``threads``, ``title`` and ``system``, beside what the worker reads.
        worker: The module that does it.

    Raises:
        RuntimeError: If the process fails; holds the end of what it said.
    """
    paths = [*(str(Path(job["build"]) / folder) for folder in _FOLDERS), str(HERE / "benchmarks")]
    threads = str(job["threads"])
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    fixed = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": threads, **quiet}
    with tempfile.TemporaryDirectory() as place:
        asked, told = Path(place) / "job.json", Path(place) / "result.json"
        asked.write_text(json.dumps(job), "utf-8")
        command = [sys.executable, "-m", worker, str(asked), str(told)]
        done = subprocess.run(  # elsewhere: the current folder comes before all others
            command, cwd=place, env=os.environ | fixed, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{job['title']}, {job['system']}:\n{done.stderr[-2000:]}")
        return json.loads(told.read_text("utf-8"))
