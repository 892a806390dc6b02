"""How fast a run has texts from a server, beside the server's throughput with a client of its kind.

``python benchmarks/servers.py --engine vllm --python PYTHON --client "PYTHON -m …" --json FILE``

The server is started for this, and nothing else asks it. Both clients ask for the same texts,
prompts of the brainstorm stage, by their likeliest tokens, with as many requests at once, in turns;
one round before the first is not counted. A round's ratio is that of tokens written a second. The
client is ``vllm bench serve``, which asks any server that speaks OpenAI's protocol.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from exports.servers import Server
from keeping import beside_others
from selfmoe.config.resolve import resolve
from selfmoe.contracts.randomness import rng_for
from selfmoe.models.base import find_base, load_base
from selfmoe.models.remote.sameness import check_same
from selfmoe.models.remote.writing import Remote
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
NAME = "base"
"""What the server calls its model."""
TRIES = 6
"""Of the client, until all texts came."""


class Work(NamedTuple):
    """What both clients ask for.

    Attributes:
        texts: Prompts.
        tokens: How many tokens follow each, at the most.
        concurrency: Requests at once.
    """

    texts: Sequence[str]
    tokens: int
    concurrency: int


def prompts(config: Any, count: int) -> list[str]:
    """Return prompts of the brainstorm stage, of the run's first domain."""
    domain = next(config.registry.configure("domain", name, {}) for name in config.domains[:1])
    seeds = domain.seeds(config.source, 60, rng_for(0))
    write, shots = domain.prompts(config.source).brainstorm, config.brainstorm.shots
    groups = [rng_for(0, number).sample(seeds, shots) for number in range(count)]
    return [str(write(group)) for group in groups]


def ours(remote: Remote, work: Work) -> float:
    """Return tokens a second as a run has them: cut where they end, and kept as they come."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        found = remote.keeping(Path(folder)).generate(work.texts, max_new_tokens=work.tokens)
        return sum(len(new.tokens) for new in found) / (time.monotonic() - start)


def theirs(client: str, address: str, tokenizer: Path, work: Work) -> tuple[float, int]:
    """Return tokens a second of the server's client, and how often it tried.

    It asks once and uses connections again, which some servers close meanwhile; where it lost a
    text by that, all are asked again.

    Raises:
        SystemExit: If it fails, or loses texts each time.
    """
    for number in range(1, TRIES + 1):
        came, rate = _asked(client, address, tokenizer, work)
        if came == len(work.texts):
            return rate, number
    raise SystemExit(f"{client}: {came} of {len(work.texts)} texts came, in the last of {number}")


def _asked(client: str, address: str, tokenizer: Path, work: Work) -> tuple[int, float]:
    """Return how many texts came, and tokens a second."""
    with tempfile.TemporaryDirectory() as folder:
        rows = (json.dumps({"prompt": text}) for text in work.texts)
        Path(folder, "prompts.jsonl").write_text("\n".join(rows), "utf-8")
        said = {
            "backend": "openai", "base-url": address, "endpoint": "/v1/completions",
            "model": NAME, "tokenizer": tokenizer, "dataset-name": "custom",
            "dataset-path": f"{folder}/prompts.jsonl", "custom-output-len": work.tokens,
            "num-prompts": len(work.texts), "temperature": 0,
            "max-concurrency": work.concurrency, "result-dir": folder, "result-filename": "r.json",
        }  # fmt: skip
        options = [part for key, value in said.items() for part in (f"--{key}", str(value))]
        flags = ["--skip-chat-template", "--disable-shuffle", "--disable-tqdm", "--save-result"]
        command = [*shlex.split(client), *options, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{client} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        told = json.loads(Path(folder, "r.json").read_text("utf-8"))
    return int(told["completed"]), float(told["total_output_tokens"] / told["duration"])


@click.command()
@click.option("--engine", type=click.Choice(("vllm", "llama.cpp")), required=True)
@click.option("--python", type=PATH, required=True, help="An interpreter with the engine.")
@click.option("--client", required=True, help="How `vllm bench serve` is started.")
@click.option("--base", default="seedling", show_default=True)
@click.option("--name", help="What the base is called in results; default: the same.")
@click.option("--domain", default="math", show_default=True, help="Whose prompts.")
@click.option("--texts", "count", default=256, show_default=True)
@click.option("--tokens", default=64, show_default=True, help="Most of a text.")
@click.option("--concurrency", default=64, show_default=True, help="Requests at once.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "target", type=PATH, help="Write JSON there; other engines' is kept.")
def command(
    engine: str,
    python: Path,
    client: str,
    base: str,
    name: str | None,
    domain: str,
    count: int,
    tokens: int,
    concurrency: int,
    rounds: int,
    target: Path | None,
) -> None:
    """Measure what a run and a client of the server's kind get out of a server."""
    config = resolve({"base": base, "domains": [domain], "dtype": "float32"})
    files = find_base(config)
    loaded = load_base(files, config)
    work = Work(prompts(config, count), tokens, concurrency)
    with tempfile.TemporaryDirectory() as room:
        server = Server(engine, python, loaded, files.path, Path(room))
        try:
            server.start()
            options: Json = {"base_url": f"{server.address}/v1", "model": NAME}
            options["concurrency"] = concurrency
            writer = config.registry.configure("backend", "openai", options).open(loaded)
            check_same(writer, loaded)
            found: list[Json] = []
            for _ in range(rounds + 1):
                other, tries = theirs(client, server.address, files.path, work)
                own = ours(Remote(writer, loaded), work)
                found.append({"client": round(other, 1), "tries": tries, "run": round(own, 1)})
                found[-1]["ratio"] = round(own / other, 4)
                click.echo(str(found[-1]))
        finally:
            server.kill()
    ratios = sorted(row["ratio"] for row in found[1:])
    row = {
        "engine": engine, "base": name or base, "texts": count, "tokens": tokens,
        "concurrency": concurrency, "rounds": found[1:], "ratio": statistics.median(ratios),
        "low": ratios[0], "high": ratios[-1],
    }  # fmt: skip
    if target is not None:
        facts = {
            "command": "benchmarks/servers.py --json results/servers.json",
            "client": "vllm bench serve",
            "cores": os.cpu_count(),
            "processor": processor(),
            "versions": versions(),
        }
        write_json(target, {**facts, "engines": beside_others(row, target, "engines", "engine")})


if __name__ == "__main__":
    command()
