"""A former build's data through this build's training and evaluation: the same answers, or not.

``python benchmarks/former_data.py --former PYTHON --work FOLDER --json FILE``

Three runs of the preset demo: the former build's; this build's with the former's settings; and this
build's again, its experts made of the former's data. The last has to end with the texts and scores
of the first. The second draws other data; told is how far its averages are from the first's.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from selfmoe.pipeline.versions import versions
from selfmoe.store.files import SEAL, seal, write_json
from speeds.machine import processor
from speeds.runs import run_by
from writing.builds import FORMER as COMMIT

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
PYTHON = click.Path(exists=True, dir_okay=False, executable=True)
FORMER, OWN, PLANTED = "former", "own", "planted"
MADE = ("seeds", "brainstorm", "respond", "data")
"""Folders of a run with what experts are made of."""
SETTINGS = ("specialise.options.lr=0.001",)
"""In what the preset demo of the former build was another."""


@click.command()
@click.option("--former", type=PYTHON, required=True, help=f"Has the build of {COMMIT}.")
@click.option("--this", type=PYTHON, default=sys.executable, help="Has this build.")
@click.option("--work", type=PATH, required=True, help="Where the runs are; they are gone on with.")
@click.option("--preset", default="demo", show_default=True, help="What is run.")
@click.option("--set", "settings", multiple=True, default=SETTINGS, show_default=True)
@click.option("--json", "target", type=PATH, help="Write JSON there.")
def command(
    former: str, this: str, work: Path, preset: str, settings: Sequence[str], target: Path | None
) -> None:
    """Compare what experts of the former build's data answer in both builds."""
    places = {name: work.resolve() / name for name in (FORMER, OWN, PLANTED)}
    flags = [part for setting in settings for part in ("--set", setting)]
    work.mkdir(parents=True, exist_ok=True)
    run_by(former, places[FORMER], preset, 1)
    run_by(this, places[OWN], preset, 1, *flags)
    if not places[PLANTED].exists():
        plant(places[FORMER], places[OWN], places[PLANTED])
    run_by(this, places[PLANTED], preset, 1, *flags)
    found = {
        **compared(places[FORMER], places[PLANTED]),
        "averages": list(averages(places[FORMER], places[OWN])),
    }
    click.echo(json.dumps(found, indent=1))
    if target is not None:
        facts = {
            "command": "benchmarks/former_data.py --former PYTHON --work FOLDER "
            "--json results/former-data.json",
            "commit": COMMIT,
            "preset": preset,
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
        target: Must not exist.
    """
    for name in MADE:
        shutil.copytree(own / name, target / name)
    for cell in (target / "data").iterdir():
        (source,) = (former / "data").glob(f"{cell.name.partition('@')[0]}@*")
        facts = json.loads((cell / SEAL).read_text("utf-8"))
        del facts["files"]
        for file in cell.iterdir():
            if file.name == SEAL:
                file.unlink()
            else:
                shutil.copy(source / file.name, file)
        seal(cell, facts)


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


def averages(former: Path, own: Path) -> Iterator[Json]:
    """Yield every system's average in both runs, in percent, and the interval in the first."""
    before, now = (_systems(one) for one in (former, own))
    for name, old in before.items():
        low, high = (100 * old[f"average_{end}"] for end in ("low", "high"))
        new = 100 * now[name]["average"]
        yield {
            "system": name,
            "former": round(100 * old["average"], 2),
            "low": round(low, 2),
            "high": round(high, 2),
            "this": round(new, 2),
            "within": low <= new <= high,
        }


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
