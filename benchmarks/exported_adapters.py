"""Whether exported adapters compute the same in mlx-lm and in llama.cpp, on toys in float32.

`benchmarks/exported_adapters.py --mlx PYTHON --llama PYTHON --json FILE`: PYTHON has mlx-lm, or the
package xllamacpp. Compared are log-probabilities behind a text, of the base, which says
how far the programs agree by themselves, and with the adapter.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import torch

from exports import read_llama, read_mlx
from selfmoe.contracts.records import Expert, LoadedBase, System
from selfmoe.mixture.runtime import attach_expert
from selfmoe.outward.export.formats import WRITERS, Wishes
from selfmoe.outward.export.source import Source
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.gguf import Contents, write_gguf
from selfmoe.testing.models import random_adapter, tiny_tokenizer

PATH = click.Path(path_type=Path)
BY_MLX = ("llama", "mistral", "qwen3", "gemma2", "phi3")
BY_LLAMA: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"qwen3.attention.value_length": 16},
    "gpt2": {"gpt2.feed_forward_length": 128},
}
"""Families, with what their files in GGUF must say besides."""

LONG = {"mlx": 6, "gguf": 24}
"""Tokens of the text. mlx-lm knows no windows, which two toys have behind 6 tokens; llama.cpp tells
nothing where half a character is the likeliest, which no toy has behind this text of 24."""

Logs = dict[str, list[float]]


@click.command()
@click.option("--mlx", type=PATH, help="An interpreter with mlx-lm.")
@click.option("--llama", type=PATH, help="An interpreter with xllamacpp.")
@click.option("--json", "out", type=PATH, required=True, help="Where results are kept.")
def main(mlx: Path | None, llama: Path | None, out: Path) -> None:
    """Export an expert of every family, and let other programs compute with it."""
    found: dict[str, Any] = {"exported_by": versions(), "mlx": [], "gguf": []}
    with tempfile.TemporaryDirectory() as room:
        for form, families in (("mlx", BY_MLX), ("gguf", tuple(BY_LLAMA))):
            expected = {name: _written(name, form, Path(room) / form) for name in families}
            script = {"mlx": read_mlx, "gguf": read_llama}[form].__file__
            python = {"mlx": mlx, "gguf": llama}[form]
            for told in _read(python, str(script), Path(room) / form) if python else ():
                row = _compared(told, expected[told["family"]])
                click.echo(f"{form}: {row}")
                found[form].append(row)
    write_json(out, found)


@torch.no_grad()
def _written(family: str, form: str, room: Path) -> Logs:
    """Write base and adapter of a family, and return what they compute here."""
    folder = room / family
    changes: dict[str, Any] = {} if family == "gpt2" else {"intermediate_size": 64}
    model, tokenizer = tiny_model(family, **changes), tiny_tokenizer()
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    if form == "gguf":
        write_gguf(folder / "base.gguf", Contents(family=family, facts=BY_LLAMA[family]))
    adapter = random_adapter(model, folder / "peft", r=3, targets=FAMILIES[family].targets, seed=5)
    ids = torch.randint(0, 256, (1, LONG[form]), generator=torch.Generator().manual_seed(1))
    write_json(folder / "ids.json", ids[0].tolist())
    plain = _last(model, ids)
    attach_expert(model, Expert("one", adapter))
    expected = {"base": plain, "expert": _last(model, ids)}
    base = LoadedBase(family, model, tokenizer, "", 512)
    source = Source(base, System.of_expert("one"), None, str(folder / "base"))
    (folder / form).mkdir()
    WRITERS[form](source, folder / form, Wishes())
    return expected


def _last(model: Any, ids: torch.Tensor) -> list[float]:
    found: list[float] = torch.log_softmax(model(ids).logits[0, -1], -1).tolist()
    return found


def _read(python: Path, script: str, folder: Path) -> Iterator[dict[str, Any]]:
    command = [str(python), script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr[-3000:]}")
    yield from (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))


def _compared(told: Mapping[str, Any], expected: Logs) -> dict[str, Any]:
    """Return differences relative to the largest log-probability."""
    apart = {}
    for what, wanted in expected.items():
        a, b = torch.tensor(told[what]), torch.tensor(wanted)
        apart[what] = float((a - b).abs().max() / b.abs().max())
    return {"family": told["family"], "version": told["version"], **apart}


if __name__ == "__main__":
    main()
