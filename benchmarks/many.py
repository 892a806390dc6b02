"""What many experts cost: `benchmarks/many.py --json results/many-experts.json`.

Prefill and decoding of batches, with the native operator and without it, in the same rounds; see
`benchmarks/speed.py` for how it is measured. Of 1 024 experts, which the router `retrieval` chooses
from, a few are in memory: what they cost, what they weigh, how long choosing and joining take.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # barriers of several threads wait for other programs

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import torch

from selfmoe.contracts.composer import TokenInfo
from selfmoe.mixture.forward.kernels import native
from selfmoe.mixture.forward.kernels.native import choosing, library
from selfmoe.store.files import write_json
from speed import Measurement, decode, facts, measured, prefill
from speeds import retrieved, work
from speeds.anonymous import spaces
from speeds.systems import Setting, base

SYSTEMS = ("base", "twin", "selfmoe", "selfmoe, torch")
NUMBERS = (4, 16, 32, 64)
MOST = 1024
LIVE = 8
STEPS = 2
"""Tokens a row writes in a round: the shorter a round, the less the machine changes within it."""
Json = dict[str, Any]


def measurements() -> Iterator[Measurement]:
    """Yield what is measured, in order."""
    for n in NUMBERS:
        yield Measurement("prefill", "512", n, SYSTEMS, _each(prefill(2, 256)))
    for n in NUMBERS:
        yield Measurement("decode, batch 8", "512", n, SYSTEMS, _each(decode(8, STEPS)))
    for title, make, live, each in (
        (f"prefill, {LIVE} live, 4 a prompt", prefill(2, 256), LIVE, 4),
        (f"decode, batch 8, {LIVE} live, 1 a prompt", decode(8, STEPS), LIVE, 1),
        ("decode, batch 8, 32 live, 4 a prompt", decode(8, STEPS), 32, 4),
    ):
        yield Measurement(title, "512", MOST, SYSTEMS, _each(make), live=live, retrieved=each)


def _each(make: Callable[[str, Any], work.Round]) -> Callable[[str, Any], work.Round]:
    """Return what makes rounds, those of one system without the native operator."""

    def made(name: str, model: Any) -> work.Round:
        plain = name == "selfmoe, torch"
        with_or_without = without_native if plain else lambda once: once
        return with_or_without(make(name, model))

    return made


def without_native(once: work.Round) -> work.Round:
    """Return the same work done as where there is no compiler."""

    def plain() -> object:
        with patch.object(native, "native", _none), patch.object(choosing, "native", _none):
            return once()

    return plain


def _none() -> library.Native:
    return library.Native(None, "left out")


def choosing_takes(folder: Path, prompts: int = 200) -> Json:
    """Return the CPU time of choosing among all experts for a prompt of 256 tokens, in ms.

    The embeddings of its tokens are there already; their mean is counted.
    """
    model = retrieved.attached(base(_few(folder)), _few(folder))
    gate, taken = model.mixture.gate, []
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for _ in range(prompts):
            x = torch.randn(1, 256, model.config.hidden_size, generator=generator)
            start = time.process_time()
            gate.retrieve(x, TokenInfo())
            taken.append(1000 * (time.process_time() - start))
    low, middle, high = statistics.quantiles(taken, n=4)
    return {"median": round(middle, 3), "low": round(low, 3), "high": round(high, 3)}


def joining_takes(folder: Path) -> Json:
    """Return the seconds that one more expert takes to join few and many, and to be checked.

    Of the whole, ``checked`` is what hashing the files of all experts takes.
    """
    return {str(n): retrieved.joined(base(_few(folder)), _few(folder, n)) for n in (16, MOST)}


def _few(folder: Path, n: int = MOST) -> Setting:
    return Setting("512", n, folder, live=LIVE)


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Rounds of a measurement.")
@click.option("--tries", default=2, show_default=True, help="Tries for a quiet noise floor.")
@click.option("--only", help="Only what has this in its title, such as live.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write JSON there.")
def command(rounds: int, tries: int, only: str | None, target: Path | None) -> None:
    """Measure prefill and decoding with 4 to 1 024 experts against the base."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = [
            measured(one, folder, rounds, tries) for one in measurements() if _asked(one, only)
        ]
        most = {
            "n": MOST,
            "memory": spaces(folder, MOST, LIVE),
            "choosing": choosing_takes(folder),
            "joining": joining_takes(folder),
        }
    click.echo(str(most))
    if target is not None:
        wanted = "" if only is None else f' --only "{only}"'
        how = f"benchmarks/many.py --rounds {rounds}{wanted} --json results/{target.name}"
        write_json(target, {**facts(how), "measurements": found, "most": most})


def _asked(one: Measurement, only: str | None) -> bool:
    return only is None or only in one.title


if __name__ == "__main__":
    command()
