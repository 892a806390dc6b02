"""Whole runs of two builds: the CPU time of all their processes, and runs that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from whole import command

Python = Callable[[str], str]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Return what makes a program that takes an interpreter's arguments and does this instead."""

    def made(does: str) -> str:
        file = tmp_path / f"python-{abs(hash(does))}"
        file.write_text(f"#!/bin/sh\n{does}\n")
        file.chmod(0o755)
        return str(file)

    return made


def busy(turns: int) -> str:
    """Return what works in a child of a shell for a while."""
    return f"(i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done); :"


def test_the_time_of_children_counts(python: Python, tmp_path: Path) -> None:
    target = tmp_path / "whole.json"
    former, this = python(busy(400_000)), python(busy(40_000))
    asked = ["--former", former, "--this", this, "--rounds", "2", "--threads", "1"]
    done = CliRunner().invoke(command, [*asked, "--json", str(target)])
    assert done.exit_code == 0, done.output
    (run,) = json.loads(target.read_text())["runs"]
    assert run["former"]["cpu"] > run["this"]["cpu"]
    assert run["low"] <= run["ratio"] <= run["high"] < 1


def test_a_run_that_fails_says_what_it_said(python: Python) -> None:
    failing = python("echo no such preset; exit 3")
    done = CliRunner().invoke(command, ["--former", failing, "--this", failing, "--rounds", "1"])
    assert isinstance(done.exception, RuntimeError)
    assert "no such preset" in str(done.exception)
