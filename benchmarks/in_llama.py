"""Whether a router that decides once a prompt answers the same on llama.cpp's server.

`benchmarks/in_llama.py RUN SYSTEM… --python PYTHON --json FILE`: PYTHON has the package xllamacpp,
whose server this starts with the base and every expert in GGUF, in float32. Prompts are those of
the run's benchmarks. Compared are the weights that our copy of the base decides on with those of
the system itself, and greedy tokens. A Llama only.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch

import selfmoe
from exports import asked, base_gguf, llama_server
from selfmoe.api.load import load_system
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.outward.llama.client import LlamaServer
from selfmoe.outward.llama.deciding import Decider
from selfmoe.outward.opening import OpenRun, open_run
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.elsewhere import LlamaWorker
from selfmoe.outward.serve.systems import Systems
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.argument("systems", nargs=-1, required=True)
@click.option("--python", type=PATH, required=True, help="An interpreter with xllamacpp.")
@click.option("--prompts", "n", default=100, show_default=True, help="Prompts of each system.")
@click.option("--new", default=64, show_default=True, help="Most tokens of an answer.")
@click.option("--json", "out", type=PATH, required=True, help="Where results are kept.")
def main(run: Path, systems: Sequence[str], python: Path, n: int, new: int, out: Path) -> None:
    """Let llama.cpp answer as systems of a run."""
    opened = open_run(run)
    found: dict[str, Any] = {"here": versions(), "new": new, "systems": {}}
    with tempfile.TemporaryDirectory() as room, server(python, opened, Path(room)) as told:
        found["llama.cpp"], address = told
        for name in systems:
            texts = asked.prompts(opened, n)
            base = load_system(run, name)
            ids, expected = asked.tokens(base, texts), asked.written(base, texts, new)
            weights = [weighed(base, prompt) for prompt in ids]
            decided, seconds = _decided(base, name, ids)
            apart = max(
                abs(a[expert] - b[expert])
                for a, b in zip(decided, weights, strict=True)
                for expert in b
            )
            answers = asyncio.run(_answers(opened, name, address, ids, new))
            row = {"weights_apart": apart, **asked.parted(answers, expected)}
            row |= {"milliseconds_to_decide": 1000 * seconds / len(ids)}
            found["systems"][name] = row
            click.echo(f"{name}: {row}")
    write_json(out, found)


@contextmanager
def server(python: Path, run: OpenRun, room: Path) -> Iterator[tuple[str, str]]:
    """Start llama.cpp's server with the base and all experts; yield its version and address."""
    base = run.load_base()
    base_gguf.write_base(base.model, base.tokenizer, room / "base.gguf")
    experts = [name for name, kind in run.manifest.systems.items() if kind == "expert"]
    for name in experts:
        selfmoe.export(run.directory.root, name, room / name, format="gguf")
    files = [str(room / "base.gguf"), *(str(room / name / "adapter.gguf") for name in experts)]
    command = [str(python), str(llama_server.__file__), *files]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as started:
        assert started.stdin is not None and started.stdout is not None
        version, address = started.stdout.readline().decode().split()
        try:
            yield version, address
        finally:
            started.stdin.close()


@torch.inference_mode()
def weighed(base: LoadedBase, prompt: list[int]) -> dict[str, float]:
    """Return what the system itself weighs its experts by, when it reads a prompt."""
    model: Any = base.model
    heard: list[torch.Tensor] = []
    with model.mixture.listen(lambda real, weights: heard.append(weights)):
        model(input_ids=torch.tensor([prompt]), use_cache=False)
    return dict(zip(model.mixture.experts, heard[0][0, 0, 0].tolist(), strict=True))


def _decided(
    base: LoadedBase, name: str, ids: Sequence[list[int]]
) -> tuple[list[dict[str, float]], float]:
    """Return what our copy decides, and the processor's seconds; the system is off after that."""
    decider, began = Decider(base, name), time.process_time()
    return [decider.weights(prompt) for prompt in ids], time.process_time() - began


async def _answers(
    run: OpenRun, name: str, address: str, ids: Sequence[list[int]], new: int
) -> list[list[int]]:
    """Return what a llama-server writes behind each prompt, as ``selfmoe serve`` asks it."""
    systems = Systems(run, run.load_base())
    ends = ends_of(systems.base.model, systems.base.tokenizer)
    worker = LlamaWorker(systems, LlamaServer(address), 1, len(ids), {})
    rows = [
        Asked(n, prompt, most=new, stops=Stops(ends), system=name) for n, prompt in enumerate(ids)
    ]
    news = worker.ask(rows)
    for _ in rows:
        told = await news.get()
        if told.row.failed is not None:
            raise told.row.failed
    await worker.end()
    return [row.new for row in rows]


if __name__ == "__main__":
    main()
