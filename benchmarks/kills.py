"""Kill runs at random moments and compare what they end with: `benchmarks/kills.py RUN.yaml …`.

Each RUN.yaml holds settings of a run. It is made undisturbed, then again while it is killed, with
all that it started, and resumed by the same command. The moments are drawn by a seed, one in each
of as many equal parts of the undisturbed run's work. Then all files of both are compared byte for
byte; of a few that hold times, without these (`killing.files.TIMES`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from keeping import beside_others
from killing.files import TIMES, differing, holds_times, timeless
from killing.processes import Process, Start
from killing.rounds import Rounds, kill_and_resume
from selfmoe.pipeline.versions import versions
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option("--kills", default=20, show_default=True, help="How often each run is killed.")
@click.option("--seed", default=0, show_default=True, help="Decides when.")
@click.option("--work", type=PATH, help="Keep the runs there, in a folder for each FILE.")
@click.option("--json", "target", type=PATH, help="Write JSON there; what others made is kept.")
def command(
    files: Sequence[Path], kills: int, seed: int, work: Path | None, target: Path | None
) -> None:
    """Kill runs with the settings in FILES and see that they end with the same files."""
    differ = False
    for file in files:
        with _folder(work, file) as place:
            rounds = kill_and_resume(_starter(file, place / "log.txt"), place, kills, seed)
            found = {"settings": file.name, "kills_seed": seed, **row(rounds)}
        click.echo(told(found))
        differ |= bool(found["differ"])
        if target is not None:
            keep(found, target)
    if differ:
        raise SystemExit(1)


@contextmanager
def _folder(work: Path | None, file: Path) -> Iterator[Path]:
    """Give the folder of a file's runs: a new one, kept if it is named."""
    if work is not None:
        (work / file.stem).mkdir(parents=True)
        yield (work / file.stem).resolve()
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def _starter(file: Path, log: Path) -> Start:
    """Return what starts the run of a file; what it prints goes to a log."""
    command = [sys.executable, "-m", "selfmoe", "run", str(file.resolve())]

    def start(out: Path) -> Process:
        with log.open("ab") as said:
            return subprocess.Popen(
                [*command, "--out", str(out)], stdout=said, stderr=said, start_new_session=True
            )

    return start


def row(rounds: Rounds) -> Json:
    """Return what is to be said about a run that was killed: where, and what differs."""
    config = RunDirectory(rounds.undisturbed).manifest().config
    whole = timeless(rounds.undisturbed)
    differ = {run.name: differing(whole, timeless(run)) for run in rounds.killed}
    stages = Counter(fall.stage for fall in rounds.falls)
    return {
        "base": config["base"],
        "preset": config["preset"],
        "processor": processor(),
        "seconds": round(rounds.timeline.end, 1),
        "kills": len(rounds.falls),
        "stages": dict(stages),
        "falls": [_fall(fall.stage, *fall.moment) for fall in rounds.falls],
        "killed_runs": len(rounds.killed),
        "files": len(whole),
        "files_with_times": sum(map(holds_times, whole)),
        "differ": {name: files for name, files in differ.items() if files},
    }


def _fall(stage: str, cells: int, seconds: float) -> Json:
    return {"stage": stage, "cells": cells, "seconds": round(seconds, 2)}


def told(found: Json) -> str:
    """Return the same in words."""
    stages = ", ".join(f"{stage} {number}" for stage, number in found["stages"].items())
    differ = sorted({name for files in found["differ"].values() for name in files})
    same = "all the same" if not differ else f"not the same: {', '.join(differ)}"
    return f"{found['base']}: {found['kills']} kills ({stages}), {found['files']} files, {same}"


def keep(found: Json, target: Path) -> None:
    """Write what was found of one run to a file, beside what that holds of others."""
    runs = beside_others(found, target, "runs", "settings")
    write_json(target, {**_facts([run["settings"] for run in runs]), "runs": runs})


def _facts(names: Sequence[str]) -> Json:
    named = " ".join(f"benchmarks/{name}" for name in names)
    return {
        "command": f"benchmarks/kills.py {named} --json results/kills.json",
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "left_out": dict(TIMES),
        "versions": versions(),
    }


if __name__ == "__main__":
    command()
