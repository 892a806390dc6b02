"""What training costs beside an earlier build and PEFT: `benchmarks/training.py --base FOLDER`.

Each build fits in a process of its own; they take turns, and a ratio is that of two times of the
same round. Peaks of memory are those of further processes, whose allocator gives back at once. All
of them learn from the same batches, and how far their losses are apart is part of the results.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import torch

from fits import places
from fits.builds import Systems, alone, in_turns, largest_difference
from fits.texts import texts
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds.clock import ratios
from speeds.machine import processor
from writing.builds import FORMER as COMMIT

Json = dict[str, Any]
BEFORE, NOW, REFERENCE = "before", "selfmoe", "PEFT + Trainer"
APART, PACKED = "apart", "packed"
EXPERTS, RANK = 4, 8
VOCABULARIES = (32_000, 262_144)


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Questions, answers.")
@click.option("--before", type=click.Path(path_type=Path, exists=True), help="Its worktree.")
@click.option("--commit", default=COMMIT, show_default=True, help="What is compared with.")
@click.option("--rounds", default=5, show_default=True, help="Rounds that count.")
@click.option("--runs", default=3, show_default=True, help="Processes a peak.")
@click.option("--batch", default=32, show_default=True, help="Examples a step.")
@click.option("--steps", default=2, show_default=True, help="Steps of a fit.")
@click.option("--longest", default=256, show_default=True, help="Tokens of an example.")
@click.option("--threads", default=(1, 2), show_default=True, multiple=True, help="Of torch.")
@click.option("--only", help="Only what has this in its title: expert, router, packed, vocabulary.")
@click.option("--reference/--no-reference", default=True, help="Ask PEFT and the Trainer, too.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write JSON there.")
def command(**options: Any) -> None:
    """Measure time and memory of fits against an earlier build and PEFT."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as until:
        folder = Path(place)
        before = options["before"] or folder / "before"
        if options["before"] is None and options["only"] != PACKED:
            until.enter_context(places.checkout(options["commit"], before))
        results = {**_facts(options), **_measured(options, folder, before)}
    if options["target"] is not None:
        write_json(options["target"], results)


def _facts(options: Mapping[str, Any]) -> Json:
    named = ("commit", "rounds", "runs", "batch", "steps", "longest")
    return {
        "command": _command(options),
        **{name: options[name] for name in named},
        "base": options["base"].name,
        "data": "mini tracks" if options["data"] is None else options["data"].name,
        "processor": processor(),
        "metric": "CPU time of the process",
        "versions": dict(versions()),
    }


def _command(options: Mapping[str, Any]) -> str:
    """Return the command, with names in the place of folders."""
    data = "" if options["data"] is None else f" --data {options['data'].name}"
    counts = [f"--{name} {options[name]}" for name in ("rounds", "runs", "steps", "longest")]
    counts += [f"--threads {number}" for number in options["threads"]]
    counts += [] if options["reference"] else ["--no-reference"]
    base, target = options["base"].name, "results/training.json"
    return " ".join([f"benchmarks/training.py --base {base}{data}", *counts, f"--json {target}"])


def _measured(options: Mapping[str, Any], folder: Path, before: Path) -> Json:
    from transformers import AutoTokenizer

    wanted = options["only"] or ""
    base, number = options["base"], options["batch"] * options["steps"]
    tokenizer, found = AutoTokenizer.from_pretrained(base), []
    for workload in ("expert", "router", "packed"):
        if wanted in workload:
            every = number * (EXPERTS if workload == PACKED else 1)
            rows = texts(options["data"], tokenizer, options["longest"], every)
            adapters = places.experts(base, folder / "experts", EXPERTS, RANK)
            for threads in options["threads"]:
                setting = places.setting(folder, base, rows, adapters, options["batch"], threads)
                found.append(
                    _fit(workload, _systems(workload, before, options), setting, threads, options)
                )
    spaces = _toys(folder, options) if wanted in "vocabulary" else {}
    return {"fits": found, "vocabularies": spaces}


def _systems(workload: str, before: Path, options: Mapping[str, Any]) -> Systems:
    here = places.REPOSITORY
    if workload == PACKED:  # the experts of a run, which an earlier build trains one by one
        return {APART: (here, APART), PACKED: (here, PACKED)}
    known = {BEFORE: (before, workload), NOW: (here, workload)}
    asked = workload == "expert" and options["reference"]
    return known | ({REFERENCE: (here, "trainer")} if asked else {})


def _fit(
    workload: str, systems: Systems, setting: Path, threads: int, options: Mapping[str, Any]
) -> Json:
    times = in_turns(systems, setting, threads, options["rounds"])
    spaces = alone(systems, setting, threads, options["runs"])
    seconds = {name: [one["seconds"] for one in answers] for name, answers in times.items()}
    first = next(iter(systems))
    rows = ratios(seconds, first)
    for name, row in rows.items():
        row["losses_apart"] = largest_difference(times[first], times[name])
        row["memory"] = _space(spaces[name], spaces[first])
        click.echo(
            f"{workload}, {threads} threads: {name:14} time {row['ratio']:.3f} ({row['low']:.3f} "
            f"to {row['high']:.3f}), {row['seconds']:.1f} s, memory {row['memory']['ratio']:.3f}, "
            f"{row['memory']['extra']:.0f} MB; losses apart by {row['losses_apart']:.1e}"
        )
    if REFERENCE in rows:
        against = ratios(seconds, REFERENCE)[NOW]
        click.echo(f"  {NOW} against {REFERENCE}: {against['ratio']:.3f}")
        rows[NOW]["against_reference"] = against
    return {"title": workload, "threads": threads, "systems": rows}


def _space(answers: Sequence[Json], before: Sequence[Json]) -> Json:
    """Return the peak beyond what was there before the fit, in MB, and relative to another's."""
    extra = [one["extra"] for one in answers]
    usual = statistics.median(one["extra"] for one in before)
    return {
        "extra": statistics.median(extra),
        "low": min(extra),
        "high": max(extra),
        "loaded": statistics.median(one["loaded"] for one in answers),
        "ratio": round(statistics.median(extra) / usual, 4),
    }


def _toys(folder: Path, options: Mapping[str, Any]) -> Json:
    """Return the peaks of training an expert on a toy, by the size of its vocabulary.

    The earlier build is left out: it held all logits at once, which take tens of GB here.
    """
    rows = {size: _toy(folder / f"toy-{size}", size, options) for size in VOCABULARIES}
    small, large = (_space(rows[size], rows[VOCABULARIES[0]]) for size in VOCABULARIES)
    said = f"{large['extra']:.0f} MB and {small['extra']:.0f} MB, {large['ratio']:.3f}"
    click.echo(f"vocabulary of {VOCABULARIES[1]} and {VOCABULARIES[0]}: {said}")
    return {str(size): row for size, row in zip(VOCABULARIES, (small, large), strict=True)}


def _toy(folder: Path, vocabulary: int, options: Mapping[str, Any]) -> list[Json]:
    from transformers import AutoTokenizer

    base, batch = places.toy(folder, vocabulary), options["batch"]
    rows = texts(None, AutoTokenizer.from_pretrained(base), 400, batch)
    setting = places.setting(folder, base, rows, (), batch, 1)
    return alone({NOW: (places.REPOSITORY, "expert")}, setting, 1, options["runs"])[NOW]


if __name__ == "__main__":
    torch.set_num_threads(1)
    command()
