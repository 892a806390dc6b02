"""How fast a run has texts from a server, beside the server's throughput with a client of its kind.

``python benchmarks/servers.py --base seedling --base-url http://127.0.0.1:8000/v1 --model seedling
--client "vllm bench serve" [--texts 256] [--tokens 64] [--rounds 3] [--out results/servers.json]``

The server is there already, and nothing else asks it. Both clients ask for the same texts, prompts
of the brainstorm stage, by their likeliest tokens, with as many requests at once, in turns; one
round before the first is not counted. A round's ratio is that of tokens written a second. The
client is vLLM's, which asks any server that speaks OpenAI's protocol.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.backend import Asked, Manner, Writer
from selfmoe.contracts.randomness import rng_for
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.base import find_base, load_base
from selfmoe.models.remote.sameness import check_same
from selfmoe.models.tokens import prompt_ids
from selfmoe.pipeline.versions import versions


def prompts(config: Any, count: int) -> list[str]:
    """Return prompts of the brainstorm stage, of the run's first domain."""
    domain = next(config.registry.configure("domain", name, {}) for name in config.domains[:1])
    seeds = domain.seeds(config.source, 60, rng_for(0))
    write, shots = domain.prompts(config.source).brainstorm, config.brainstorm.shots
    groups = [rng_for(0, number).sample(seeds, shots) for number in range(count)]
    return [str(write(group)) for group in groups]


def ours(writer: Writer, base: LoadedBase, texts: Sequence[str], tokens: int) -> float:
    """Return tokens a second as a run has them."""
    asked = [Asked(tuple(prompt_ids(base.tokenizer, text)), text) for text in texts]
    start = time.monotonic()
    found = writer.write(asked, Manner(tokens), lambda *_: None)
    return sum(len(new.tokens or ()) for new in found) / (time.monotonic() - start)


def theirs(args: argparse.Namespace, base: Path, texts: Sequence[str]) -> float:
    """Return tokens a second of the server's client."""
    with tempfile.TemporaryDirectory() as folder:
        rows = (json.dumps({"prompt": text}) for text in texts)
        Path(folder, "prompts.jsonl").write_text("\n".join(rows), "utf-8")
        said = {
            "backend": "openai", "base-url": args.base_url.removesuffix("/v1"),
            "endpoint": "/v1/completions", "model": args.model, "tokenizer": base,
            "dataset-name": "custom", "dataset-path": f"{folder}/prompts.jsonl",
            "custom-output-len": args.tokens, "num-prompts": len(texts), "temperature": 0,
            "max-concurrency": args.concurrency, "result-dir": folder, "result-filename": "r.json",
        }  # fmt: skip
        options = [part for key, value in said.items() for part in (f"--{key}", str(value))]
        flags = ["--skip-chat-template", "--disable-shuffle", "--disable-tqdm", "--save-result"]
        command = [*shlex.split(args.client), *options, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{args.client} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        told = json.loads(Path(folder, "r.json").read_text("utf-8"))
    if told["completed"] != len(texts):
        raise SystemExit(f"{args.client}: {told['completed']} of {len(texts)} texts came")
    return float(told["total_output_tokens"] / told["duration"])


def measured(args: argparse.Namespace) -> dict[str, Any]:
    config = resolve({"base": args.base, "domains": [args.domain], "dtype": "float32"})
    files = find_base(config)
    base = load_base(files, config)
    options = {"base_url": args.base_url, "model": args.model, "concurrency": args.concurrency}
    writer = config.registry.configure("backend", "openai", options).open(base)
    check_same(writer, base)
    texts = prompts(config, args.texts)
    rounds = []
    for _ in range(args.rounds + 1):
        client = theirs(args, files.path, texts)
        run = ours(writer, base, texts, args.tokens)
        rounds.append({"client": round(client, 1), "run": round(run, 1), "ratio": run / client})
        print(json.dumps(rounds[-1]), flush=True)
    ratios = sorted(row["ratio"] for row in rounds[1:])
    return {
        "server": args.server, "way": writer.way.says, "base": files.name, "client": args.client,
        "texts": args.texts, "tokens": args.tokens, "concurrency": args.concurrency,
        "rounds": rounds[1:], "ratio": statistics.median(ratios),
        "lowest": ratios[0], "highest": ratios[-1],
        "cores": os.cpu_count(), "versions": versions(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", default="seedling")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--client", default="vllm bench serve")
    parser.add_argument("--server", default="", help="Its name and version, for the record.")
    parser.add_argument("--domain", default="math")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/servers.json"))
    args = parser.parse_args()
    found = measured(args)
    args.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"ratio {found['ratio']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f})")


if __name__ == "__main__":
    main()
