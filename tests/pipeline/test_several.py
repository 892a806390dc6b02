"""A run that torchrun starts as several processes: they share what is fitted, one does the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from selfmoe.api import run as api
from selfmoe.config.resolve import resolve
from selfmoe.pipeline.make import make_plans
from selfmoe.reporting.terminal.progress import Display

CHANGES: Mapping[str, Any] = {
    "specialise": {"options": {"max_steps": 4, "batch_size": 3, "r": 2, "lr": 0.01}},
    "evaluate": {"limit": 2, "batch_size": 4, "base_shots": 0},
}
Environment = Callable[..., dict[str, str]]
TIMEOUT = 280


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_small_run: Callable[..., Path]) -> Path:
    """Return a folder with a run file, the plugin with its domains, and a finished run ``one``."""
    torch.set_num_threads(1)
    found = tmp_path_factory.mktemp("several")
    raw = api.from_yaml(write_small_run(found, CHANGES)) | {"out": str(found / "one")}
    _, outcome = api.run_plans(make_plans(resolve(raw)), Display(Console(file=StringIO())))
    outcome.raise_failures()
    return found


def torchrun(
    environment: Environment, folder: Path, *command: str
) -> subprocess.CompletedProcess[str]:
    """Start a command of selfmoe as two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    return subprocess.run(
        [*launch, "-m", "selfmoe", *command],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two(folder: Path, environment: Environment) -> subprocess.CompletedProcess[str]:
    """Return what two processes said that made experts and compositions anew, in ``two``."""
    shutil.copytree(folder / "one", folder / "two")
    for name in ("experts", "compositions", "report"):
        shutil.rmtree(folder / "two" / name)
    (folder / "two" / "manifest.json").unlink()
    return torchrun(environment, folder, "run", "run.yaml", "--out", "two", "--set",
                    "specialise.packed=true")  # fmt: skip


def fits(folder: Path) -> dict[str, list[float]]:
    """Return the losses of every fit of a run, by its cell."""
    found = {}
    for path in sorted(folder.glob("*/*@*/training.json")):
        told = json.loads(path.read_text())
        some = told.get("fits", [told])
        found[path.parent.name] = [loss for fit in some for loss in fit["losses"]]
    return found


def test_the_same_cells_with_the_losses_of_one(
    folder: Path, two: subprocess.CompletedProcess[str]
) -> None:
    assert two.returncode == 0, two.stderr
    ours, theirs = fits(folder / "two"), fits(folder / "one")
    assert ours.keys() == theirs.keys()
    assert sum(map(len, theirs.values())) == 4 + 4 + 3
    for cell, losses in theirs.items():
        assert ours[cell] == pytest.approx(losses, abs=1e-5), cell
    assert (folder / "two" / "report" / "index.html").is_file()
    assert not list((folder / "two").rglob("*.tmp-*"))


def test_one_process_speaks(two: subprocess.CompletedProcess[str]) -> None:
    assert two.stderr.count("2 processes share what is trained; this one does the rest.") == 1
    assert two.stderr.count("compose mixse (2 experts) done") == 1
    assert two.stdout.count("Scores in %") == 1
    assert two.stderr.count("by itself: processes share each expert instead") == 2


def test_what_they_share_nothing_of_is_refused(folder: Path, environment: Environment) -> None:
    done = torchrun(environment, folder, "status", "one")
    assert done.returncode != 0
    assert done.stderr.count("Error: selfmoe status was started as 2 processes") == 1
    assert "Start it without torchrun" in done.stderr


def test_what_one_process_refuses_ends_all(folder: Path, environment: Environment) -> None:
    done = torchrun(environment, folder, "run", "run.yaml", "--out", "run.yaml")
    assert done.returncode != 0
    assert "Error: " in done.stderr
    assert "--out must name a folder" in done.stderr


def test_workers_are_refused_beside_them(folder: Path, environment: Environment) -> None:
    done = torchrun(environment, folder, "run", "run.yaml", "--out", "workers", "--workers", "2")
    assert done.returncode != 0
    assert done.stderr.count("Error: executor 'local' hands out work, but 2 processes") == 1
