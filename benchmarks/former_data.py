"""A former build's data through this build's training and evaluation: the same answers, or not.

``python benchmarks/former_data.py --former PYTHON --work FOLDER --json FILE``

Runs of the preset demo for several root seeds: the former build's; this build's with the former's
settings; this build's again, its experts made of no more of its data than the former build had,
which knew nothing of a text's tokens as they were written. For the first seed, too: this build's
with the former's data. That has to end with the texts and scores of the former's. The others draw
other data; told is where each system's averages lie.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from selfmoe.pipeline.versions import versions
from selfmoe.store.files import SEAL, place_folder, read_jsonl, seal, write_json, write_jsonl
from speeds.machine import processor
from speeds.runs import run_by
from writing.builds import FORMER as COMMIT

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
PYTHON = click.Path(exists=True, dir_okay=False, executable=True)
FORMER, OWN, REDUCED, PLANTED = "former", "own", "reduced", "planted"
MADE = ("seeds", "brainstorm", "respond", "data")
"""Folders of a run with what experts are made of."""
KNOWN = ("id", "domain", "instruction", "input", "response", "seeds")
"""What the former build had of an example."""
SETTINGS = ("specialise.options.lr=0.001",)
"""In what the preset demo of the former build was another."""


@click.command()
@click.option("--former", type=PYTHON, required=True, help=f"Has the build of {COMMIT}.")
@click.option("--this", type=PYTHON, default=sys.executable, help="Has this build.")
@click.option("--work", type=PATH, required=True, help="Where the runs are; they are gone on with.")
@click.option("--preset", default="demo", show_default=True, help="What is run.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2), show_default=True)
@click.option("--set", "settings", multiple=True, default=SETTINGS, show_default=True)
@click.option("--json", "target", type=PATH, help="Write JSON there.")
def command(
    former: str,
    this: str,
    work: Path,
    preset: str,
    seeds: Sequence[int],
    settings: Sequence[str],
    target: Path | None,
) -> None:
    """Compare what experts of the former build's data answer in both builds."""
    flags = [part for setting in settings for part in ("--set", setting)]
    work.mkdir(parents=True, exist_ok=True)

    def place(kind: str, seed: int) -> Path:
        return work.resolve() / f"{kind}-{seed}"

    def run(python: str, kind: str, seed: int, *more: str) -> Path:
        run_by(python, place(kind, seed), preset, 1, "--seed", str(seed), *more)
        return place(kind, seed)

    runs: dict[str, list[Path]] = {FORMER: [], OWN: [], REDUCED: []}
    for seed in seeds:
        runs[FORMER].append(run(former, FORMER, seed))
        runs[OWN].append(run(this, OWN, seed, *flags))
        reduce(runs[OWN][-1], place(REDUCED, seed))
        runs[REDUCED].append(run(this, REDUCED, seed, *flags))
    first = seeds[0]
    plant(runs[FORMER][0], runs[OWN][0], place(PLANTED, first))
    planted = run(this, PLANTED, first, *flags)
    found = {**compared(runs[FORMER][0], planted), "averages": list(averages(runs))}
    click.echo(json.dumps(found, indent=1))
    if target is not None:
        facts = {
            "command": "benchmarks/former_data.py --former PYTHON --work FOLDER "
            "--json results/former-data.json",
            "commit": COMMIT,
            "preset": preset,
            "seeds": list(seeds),
            "settings": list(settings),
            "processor": processor(),
            "versions": dict(versions()),
        }
        write_json(target, {**facts, **found})


def plant(former: Path, own: Path, target: Path) -> None:
    """Begin a run with the data of one build as if the other had made them.

    Args:
        former: The run whose data are taken.
        own: A run of the build that shall go on, with the settings it shall go on with.
        target: Left alone where it is there.
    """

    def taken(cell: Path) -> None:
        (source,) = (former / "data").glob(f"{cell.name.partition('@')[0]}@*")
        for file in cell.iterdir():
            shutil.copy(source / file.name, file)

    _begin(own, target, taken)


def reduce(own: Path, target: Path) -> None:
    """Begin a run with as much of a run's data as the former build had.

    Args:
        own: The run whose data are taken.
        target: Left alone where it is there.
    """

    def less(cell: Path) -> None:
        rows = read_jsonl(cell / "examples.jsonl")
        write_jsonl(cell / "examples.jsonl", [{key: row[key] for key in KNOWN} for row in rows])

    _begin(own, target, less)


def _begin(own: Path, target: Path, change: Callable[[Path], None]) -> None:
    """Copy what a run's experts are made of; each domain's data are changed and sealed again."""

    def copied(folder: Path) -> None:
        for name in MADE:
            shutil.copytree(own / name, folder / name)
        for cell in (folder / "data").iterdir():
            facts = json.loads((cell / SEAL).read_text("utf-8"))
            del facts["files"]
            (cell / SEAL).unlink()
            change(cell)
            seal(cell, facts)

    if not target.exists():
        place_folder(target, copied)


def compared(former: Path, planted: Path) -> Json:
    """Return what is the same in two runs whose experts are made of the same data.

    Returns:
        ``losses_apart``: the largest distance of two losses of an expert's step; ``texts`` and
        ``scores``, strict ones and lenient ones: ``same`` and ``of``.
    """
    rows, others = _rows(former), _rows(planted)
    if rows.keys() != others.keys():
        raise RuntimeError(f"evaluations differ: {sorted(rows.keys() ^ others.keys())}")
    pairs = [(rows[name], others[name]) for name in sorted(rows)]
    answers = [
        all(one[key] == other[key] for key in ("id", "prompt", "completion"))
        for mine, theirs in pairs
        for one, other in zip(mine, theirs, strict=True)
    ]
    scores = [
        all(_sum(mine, kind) == _sum(theirs, kind) for kind in ("score", "lenient"))
        for mine, theirs in pairs
    ]
    return {
        "losses_apart": _losses_apart(former, planted),
        "texts": {"same": sum(answers), "of": len(answers)},
        "scores": {"same": sum(scores), "of": len(scores)},
    }


def averages(runs: Mapping[str, Sequence[Path]]) -> Iterator[Json]:
    """Yield every system's averages in percent, one for each seed, and the intervals at first.

    Args:
        runs: Kind of run -> the run of each seed.

    Yields:
        By the kinds of runs the averages; ``low`` and ``high``: the interval of each of the former
        build's, over its items; ``within``: in how many seeds this build's average is in it, by
        kind.
    """
    told = {kind: [_systems(run) for run in each] for kind, each in runs.items()}
    for name in told[FORMER][0]:
        values = {
            kind: [round(100 * run[name]["average"], 2) for run in each]
            for kind, each in told.items()
        }
        low, high = (
            [round(100 * run[name][f"average_{end}"], 2) for run in told[FORMER]]
            for end in ("low", "high")
        )
        within = {
            kind: sum(map(_between, values[kind], low, high)) for kind in told if kind != FORMER
        }
        yield {"system": name, **values, "low": low, "high": high, "within": within}


def _between(value: float, low: float, high: float) -> bool:
    return low <= value <= high


def _systems(run: Path) -> dict[str, Json]:
    results = json.loads((run / "report" / "results.json").read_text("utf-8"))
    return {system["name"]: system for system in results["systems"]}


def _rows(run: Path) -> dict[tuple[str, str], list[Json]]:
    """Return the sample rows of every system on every benchmark."""
    found: dict[tuple[str, str], list[Json]] = {}
    for file in (run / "evaluations").glob("*@*/*.samples.jsonl"):
        name = file.parent.name.partition("@")[0], file.name
        if name in found:
            raise RuntimeError(f"{run} has cells of other settings, too: begin in an empty folder")
        found[name] = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return found


def _sum(rows: Sequence[Json], kind: str) -> float:
    return sum(float(row.get(kind, 0)) for row in rows)


def _losses_apart(former: Path, planted: Path) -> float:
    before, now = (_losses(one) for one in (former, planted))
    apart = (
        abs(one - other)
        for name, losses in before.items()
        for one, other in zip(losses, now[name], strict=True)
    )
    return round(max(apart), 6)  # as they are written


def _losses(run: Path) -> Mapping[str, list[float]]:
    """Return the losses of every expert, step by step."""
    return {
        file.parent.name.partition("@")[0]: json.loads(file.read_text("utf-8"))["losses"]
        for file in (run / "experts").glob("*@*/training.json")
    }


if __name__ == "__main__":
    command()
