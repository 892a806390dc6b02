"""What a whole run costs beside a former build: `benchmarks/whole.py --former PYTHON --json FILE`.

Both builds run the preset demo from nothing, in turns, each by the interpreter of an environment
that it is installed in. Counted is the CPU time of all processes of a run, sandboxes included.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keeping import beside_others
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds.machine import processor
from speeds.runs import run_by
from writing.builds import FORMER as COMMIT

Json = dict[str, Any]
FORMER, THIS = "former", "this"
PYTHON = click.Path(exists=True, dir_okay=False, executable=True)


@click.command()
@click.option("--former", type=PYTHON, required=True, help=f"Has the build of {COMMIT}.")
@click.option("--this", type=PYTHON, default=sys.executable, help="Has this build.")
@click.option("--preset", default="demo", show_default=True, help="What is run.")
@click.option("--rounds", default=2, show_default=True, help="Runs of each build.")
@click.option("--threads", default=(1, 2), show_default=True, multiple=True, help="Of torch.")
@click.option(
    "--json", "target", type=click.Path(path_type=Path), help="Write JSON there; others are kept."
)
def command(
    former: str, this: str, preset: str, rounds: int, threads: Sequence[int], target: Path | None
) -> None:
    """Measure whole runs of two builds."""
    facts = {
        "command": "benchmarks/whole.py --former PYTHON --json results/whole.json",
        "commit": COMMIT,
        "preset": preset,
        "metric": "CPU time of all processes of a run",
        "versions": dict(versions()),
    }
    for number in threads:
        told = _measured({FORMER: former, THIS: this}, preset, rounds, number)
        row = {"threads": number, "processor": processor(), "rounds": rounds, **told}
        if target is not None:
            runs = beside_others(row, target, "runs", "threads", "processor")
            write_json(target, {**facts, "runs": runs})


def _measured(pythons: dict[str, str], preset: str, rounds: int, threads: int) -> Json:
    """Return what the runs of both builds took, in seconds, and their ratios round by round."""
    taken: dict[str, list[Json]] = {name: [] for name in pythons}
    for number in range(rounds):
        for name in list(pythons)[:: -1 if number % 2 else 1]:
            taken[name].append(_run(pythons[name], preset, threads))
            click.echo(f"{threads} threads, {name}: {taken[name][-1]}")
    pairs = zip(taken[THIS], taken[FORMER], strict=True)
    ratios = sorted(this["cpu"] / former["cpu"] for this, former in pairs)
    usual = {name: _usual(runs) for name, runs in taken.items()}
    ratio = {"ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}
    return {**usual, **{name: round(one, 4) for name, one in ratio.items()}}


def _usual(runs: Sequence[Json]) -> Json:
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def _run(python: str, preset: str, threads: int) -> Json:
    with tempfile.TemporaryDirectory() as place:
        return run_by(python, Path(place) / "run", preset, threads)


if __name__ == "__main__":
    command()
