"""What many experts cost: `benchmarks/many.py --json results/many-experts.json`.

Prefill and decoding of batches, with the native operator and without it, in the same rounds; see
`benchmarks/speed.py` for how it is measured.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # barriers of several threads wait for other programs

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import torch

from selfmoe.mixture.forward.kernels import native
from selfmoe.mixture.forward.kernels.native import choosing, library
from selfmoe.store.files import write_json
from speed import Measurement, decode, facts, measured, prefill
from speeds import work

SYSTEMS = ("base", "twin", "selfmoe", "selfmoe, torch")
NUMBERS = (4, 16, 32, 64)


def measurements() -> Iterator[Measurement]:
    """Yield what is measured, in order."""
    for n in NUMBERS:
        yield Measurement("prefill", "512", n, SYSTEMS, _each(prefill(2, 256)))
    for n in NUMBERS:
        yield Measurement("decode, batch 8", "512", n, SYSTEMS, _each(decode(8)))


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


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Rounds of a measurement.")
@click.option("--tries", default=2, show_default=True, help="Tries for a quiet noise floor.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write JSON there.")
def command(rounds: int, tries: int, target: Path | None) -> None:
    """Measure prefill and decoding with 4 to 64 experts against the base."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        found = [measured(one, Path(place), rounds, tries) for one in measurements()]
    how = f"benchmarks/many.py --rounds {rounds} --json results/many-experts.json"
    if target is not None:
        write_json(target, {**facts(how), "measurements": found})


if __name__ == "__main__":
    command()
