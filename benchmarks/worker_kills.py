"""Kill workers of runs at random moments: `benchmarks/worker_kills.py RUN.yaml`.

RUN.yaml holds settings of a run. It is made by one process, undisturbed; then by the workers of
each executor, undisturbed, and again and again while workers that are filling something are killed.
The run itself is left alone and has to end well. All files are compared with those that one process
made, byte for byte, times aside (`killing.files.TIMES`); nothing that was done before a kill may be
made again; and for each kill, the run has to say of one unit that it is done again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keeping import beside_others
from killing.files import TIMES, differing, timeless
from killing.processes import Process, check
from killing.workers import Kill, kill_workers
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
EXECUTORS = ("local", "ray")
AGAIN = "it is done again"
"""What a run says of a unit whose worker died."""
WORKERS = 2


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--executor", "executors", multiple=True, default=EXECUTORS, show_default=True)
@click.option("--kills", default=20, show_default=True, help="Of each executor's workers.")
@click.option("--a-run", default=7, show_default=True, help="Kills a run, at the most.")
@click.option("--seed", default=0, show_default=True, help="Decides when, and which worker.")
@click.option("--json", "target", type=PATH, help="Write JSON there; other executors' is kept.")
def command(
    file: Path, executors: Sequence[str], kills: int, a_run: int, seed: int, target: Path | None
) -> None:
    """Kill workers of the run in FILE and see that it ends with the same files."""
    found: list[Json] = []
    with tempfile.TemporaryDirectory() as place:
        runs = Runs(file, Path(place))
        _, seconds = runs.make("one", [])
        click.echo(f"one process: {seconds:.0f} s")
        for executor in executors:
            found.append(of_executor(runs, executor, kills, a_run, random.Random(seed)))
            click.echo(told(found[-1]))
            if target is not None:
                keep(found[-1], {**_facts(file, seed, target.name), "seconds": seconds}, target)
    if any(row["differ"] or row["made_again"] or row["kills"] != row["told"] for row in found):
        raise SystemExit(1)


class Runs:
    """Runs of one file, one after the other in the same folder, which their settings name."""

    def __init__(self, file: Path, place: Path) -> None:
        self._file, self._place = file.resolve(), place
        self.log = place / "log.txt"

    def start(self, flags: Sequence[str]) -> tuple[Process, Path]:
        """Return the process of a run, and its folder."""
        out = self._place / "run"
        command = [sys.executable, "-m", "selfmoe", "run", str(self._file), "--out", str(out)]
        with self.log.open("wb") as said:
            process = subprocess.Popen([*command, *flags], stdout=said, stderr=said)
        return process, out

    def make(self, name: str, flags: Sequence[str]) -> tuple[dict[str, str], float]:
        """Return the files of a run that nobody disturbs, and its seconds."""
        begin = time.monotonic()
        process, _ = self.start(flags)
        check(process)
        return self.keep(name), round(time.monotonic() - begin, 1)

    def keep(self, name: str) -> dict[str, str]:
        """Return the files of the last run, which makes room for the next one."""
        return timeless((self._place / "run").rename(self._place / name))

    def files(self, name: str) -> dict[str, str]:
        """Return the files of an earlier run."""
        return timeless(self._place / name)


def of_executor(runs: Runs, executor: str, kills: int, a_run: int, chance: random.Random) -> Json:
    """Return what became of runs by an executor whose workers were killed.

    Raises:
        RuntimeError: If a run fails.
    """
    flags = ["--executor", executor, "--workers", str(WORKERS)]
    flags += ["--set", f"execute.retries={a_run}"]  # all may fall on one unit
    whole = runs.files("one")
    quiet, seconds = runs.make(f"{executor}-quiet", flags)
    differ = {"undisturbed": differing(whole, quiet)}
    done: list[list[Kill]] = []
    made_again: list[str] = []
    told_of = 0
    for _ in range(2 * kills):
        left = kills - sum(map(len, done))
        if left == 0:
            break
        part = 0.9 * seconds / min(left, a_run)
        moments = [part * (place + chance.random()) for place in range(min(left, a_run))]
        process, out = runs.start(flags)
        fallen, again = kill_workers(process, out, moments, chance)
        told_of += runs.log.read_text("utf-8").count(AGAIN)
        made_again += again
        name = f"{executor}-{len(done)}"
        done.append(fallen)
        differ[name] = differing(whole, runs.keep(name))
    return {
        "executor": executor,
        "workers": WORKERS,
        "seconds": seconds,
        "runs": len(done),
        "kills": sum(map(len, done)),
        "told": told_of,
        "made_again": made_again,
        "files": len(whole),
        "differ": {name: files for name, files in differ.items() if files},
        "falls": [[kill._asdict() for kill in run] for run in done],
    }


def keep(found: Json, facts: Json, target: Path) -> None:
    """Write what was found of an executor to a file, beside what that holds of others."""
    rows = beside_others(found, target, "executors", "executor")
    write_json(target, {**facts, "executors": rows})


def told(found: Json) -> str:
    """Return the same in words."""
    names = sorted({name for files in found["differ"].values() for name in files})
    same = f"not the same: {', '.join(names)}" if names else "all the same"
    return (
        f"{found['executor']}: {found['kills']} kills in {found['runs']} runs, "
        f"{found['told']} units done again, {found['files']} files, {same}"
    )


def _facts(file: Path, seed: int, target: str) -> Json:
    return {
        "command": f"benchmarks/worker_kills.py benchmarks/{file.name} --json results/{target}",
        "seed": seed,
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "processor": processor(),
        "left_out": dict(TIMES),
        "versions": versions(),
    }


if __name__ == "__main__":
    command()
