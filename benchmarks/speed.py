"""How much a mixture costs beside the bare base and PEFT: `benchmarks/speed.py --json FILE`.

Everything is measured in one process, on one thread, in interleaved rounds of CPU time, with an
identical second base as the noise floor (see `speeds.clock`). Memory is measured in a process a
system. A quiet machine is needed; a measurement whose noise floor is off by more than 2 % is made
again, and the discarded ones are counted.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # barriers of several threads wait for other programs

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds import memory, work
from speeds.clock import above_floor, measure
from speeds.machine import processor
from speeds.systems import RANK, SHAPES, SYSTEMS, Setting, build

Json = dict[str, Any]
EVERY = tuple(name for name in SYSTEMS if name != "selfmoe, torch")
CACHING = tuple(name for name in EVERY if name != "PEFT X-LoRA")
OURS = ("base", "twin", "selfmoe")
GROWTH = (1, 2, 4, 8, 16, 32, 64)


class Measurement(NamedTuple):
    """One thing to measure.

    Attributes:
        title: What it is called in results.
        shape: Of the base.
        n: Number of experts.
        systems: Who takes part.
        make: System and model -> what a round does.
        dtype: Number format of the base.
        live: How many experts a block keeps in memory; ``None``: all.
        retrieved: How many experts are retrieved for a prompt where not all are in memory.
    """

    title: str
    shape: str
    n: int
    systems: tuple[str, ...]
    make: Callable[[str, Any], work.Round]
    dtype: torch.dtype = torch.float32
    live: int | None = None
    retrieved: int = 4


def measurements() -> Iterator[Measurement]:
    """Yield what is measured, in order."""
    two = prefill(2, 256)
    yield Measurement("prefill", "512", 4, EVERY, two)
    yield Measurement("prefill", "512", 16, EVERY, two)
    yield Measurement("prefill", "1024", 4, EVERY, prefill(1, 256))
    yield Measurement("prefill, bfloat16", "1024", 4, CACHING, prefill(1, 256), torch.bfloat16)
    yield Measurement("decode, batch 1", "512", 4, EVERY, decode(1))
    yield Measurement("decode, batch 8", "512", 4, CACHING, decode(8))
    yield Measurement("decode, batch 1", "512", 16, CACHING, decode(1))
    learners = ("base", "twin", "selfmoe", "PEFT LoRA", "PEFT X-LoRA")
    yield Measurement("router training step", "512", 4, learners, _training(2, 256))
    for n in GROWTH:
        yield Measurement("growth, prefill", "512", n, OURS, prefill(2, 128))
        yield Measurement("growth, decode", "512", n, OURS, decode(1))


def prefill(batch: int, length: int) -> Callable[[str, Any], work.Round]:
    """Return what makes the rounds of reading so many prompts of so many tokens."""
    return lambda name, model: work.prefill(model, batch, length)


def decode(batch: int, steps: int = 16) -> Callable[[str, Any], work.Round]:
    """Return what makes the rounds of writing so many tokens in each of so many rows."""
    return lambda name, model: work.decode(model, batch, steps)


def _training(batch: int, length: int) -> Callable[[str, Any], work.Round]:
    return lambda name, model: work.training(name, model, batch, length)


@click.command()
@click.option("--rounds", default=21, show_default=True, help="Rounds of a measurement.")
@click.option("--tries", default=4, show_default=True, help="Tries for a quiet noise floor.")
@click.option("--only", help="Only what has this in its title, such as prefill.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write JSON there.")
def command(rounds: int, tries: int, only: str | None, target: Path | None) -> None:
    """Measure prefill, decode, router training and memory against the base and PEFT."""
    torch.set_num_threads(1)
    found: list[Json] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for one in measurements():
            if only is None or only in one.title:
                found.append(measured(one, folder, rounds, tries))
        spaces = [_memory(folder, n) for n in (4, 16)] if only in (None, "memory") else []
    command = f"benchmarks/speed.py --rounds {rounds} --json results/speed.json"
    results = {**facts(command), "measurements": found, "memory": spaces}
    if target is not None:
        write_json(target, results)


def facts(command: str) -> Json:
    """Return what was measured on and with, and the command that does it."""
    return {
        "command": command,
        "processor": processor(),
        "threads": 1,
        "metric": "CPU time of the process",
        "rank": RANK,
        "shapes": {name: shape._asdict() for name, shape in SHAPES.items()},
        "versions": dict(versions()),
    }


def measured(one: Measurement, folder: Path, rounds: int, tries: int) -> Json:
    """Return the ratios of one measurement, and say them.

    Args:
        one: What is measured.
        folder: Where experts are kept.
        rounds: Of a try.
        tries: For a quiet noise floor.
    """
    start = time.monotonic()
    title = f"{one.title}, hidden {one.shape}, n = {one.n}"
    setting = Setting(one.shape, one.n, folder, one.dtype, live=one.live, retrieved=one.retrieved)
    models = build(setting, one.systems)
    rounds_of: Mapping[str, work.Round] = {n: one.make(n, m) for n, m in models.items()}
    result = measure(rounds_of, rounds, tries, lambda text: click.echo(f"{title}: {text}"))
    for name, row in result["systems"].items():
        spread = f"{row['low']:.3f} to {row['high']:.3f}"
        click.echo(f"  {name:12} {row['ratio']:.3f}  ({spread})  {1000 * row['seconds']:.1f} ms")
    net = above_floor(result["systems"], "selfmoe")
    click.echo(f"  selfmoe less the noise floor: {net:.3f}   [{time.monotonic() - start:.0f} s]")
    about = {"title": one.title, "hidden": int(one.shape), "n": one.n}
    return {**about, "dtype": str(one.dtype).removeprefix("torch."), **result}


def _memory(folder: Path, n: int) -> Json:
    names = [name for name in EVERY if name != "twin"]
    result = memory.peaks(folder, "512", n, names, batch=4, runs=3)
    for name, row in result["systems"].items():
        click.echo(f"memory, n = {n}: {name:12} +{row['extra']:.1f} MB over {row['loaded']:.0f}")
    return {"title": "forward of 4 x 256 tokens", "hidden": 512, "n": n, **result}


if __name__ == "__main__":
    command()
