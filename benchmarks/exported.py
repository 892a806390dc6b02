"""Whether exported mixtures answer the same where selfmoe is not, by several transformers.

`benchmarks/exported.py --python VENV/bin/python … --json FILE`. Each mixture is exported by this
environment and loaded by each of the others, which have torch, transformers and safetensors alone.
Compared are logits in float32, read at once, padded on the left and token by token with a cache,
and the tokens of greedy search and of beams.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import save_file

from exports import mixtures, proof
from selfmoe.contracts.records import LoadedBase, System
from selfmoe.outward.export.formats import WRITERS, Wishes
from selfmoe.outward.export.source import Source
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json

PATH = click.Path(path_type=Path)
FAMILIES = "llama,qwen3,gemma2,gpt2"


@click.command()
@click.option("--python", "pythons", multiple=True, type=PATH, help="An interpreter; repeatable.")
@click.option("--families", default=FAMILIES, show_default=True, help="Toys, by commas.")
@click.option("--routers", default=",".join(mixtures.ROUTERS), show_default=True, help="By commas.")
@click.option("--base", type=PATH, help="Folder of a real base.")
@click.option("--name", help="What it is called in results; default: as its folder.")
@click.option("--prompts", "n", default=200, show_default=True, help="Prompts of greedy search.")
@click.option("--json", "out", type=PATH, required=True, help="Where results are kept.")
def main(
    pythons: Sequence[Path],
    families: str,
    routers: str,
    base: Path | None,
    name: str | None,
    n: int,
    out: Path,
) -> None:
    """Export mixtures, and let other environments answer with them."""
    known = json.loads(out.read_text("utf-8")) if out.exists() else {}
    found = known.get("mixtures", {})
    with tempfile.TemporaryDirectory() as room:
        for made in _made(families, routers.split(","), base, name, Path(room)):
            prepare(made, n, Path(room) / "exported" / f"{made.base}, {made.router}")
            click.echo(f"exported: {made.base}, {made.router}")
        for python in pythons:
            for told in _answers(python, Path(room) / "exported"):
                click.echo(told)
                of_base, _, router = told.pop("name").partition(", ")
                found.setdefault(of_base, {}).setdefault(router, []).append(told)
    write_json(out, {"prompts": n, "exported_by": versions(), "mixtures": found})


def _made(
    families: str, routers: list[str], base: Path | None, name: str | None, room: Path
) -> Iterator[mixtures.Made]:
    if families:
        yield from mixtures.toys(families.split(","), routers, room)
    if base is not None:
        yield from mixtures.on_folder(name or base.name, base, routers)


def prepare(made: mixtures.Made, n: int, folder: Path) -> None:
    """Export a mixture, and keep beside it what it answers here."""
    (folder / "model").mkdir(parents=True)
    ids, lengths = mixtures.prompts(made.model, n)
    pad = int(made.tokenizer.pad_token_id or 0)
    expected = proof.answered(made.model, proof.rows(ids, lengths), pad)
    asked = {"prompts": ids, "lengths": lengths, "pad": torch.tensor(pad)}
    save_file({**expected, **asked}, folder / proof.EXPECTED)
    base = LoadedBase(made.base, made.model, made.tokenizer, "", 512)
    source = Source(base, System("mixse", "router"), None, str(made.origin))
    WRITERS["hf"](source, folder / "model", Wishes())


def _answers(python: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what an interpreter says of each exported mixture."""
    command = [str(python), "-I", str(Path(proof.__file__)), str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    environment["HF_MODULES_CACHE"] = str(folder.with_name("modules"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr}")
    yield from map(json.loads, filter(None, done.stdout.splitlines()))


if __name__ == "__main__":
    main()
