"""Whether exported mixtures answer the same in vLLM, and how fast, beside the base alone.

`benchmarks/in_vllm.py RUN --python PYTHON --json FILE`: PYTHON has vLLM. Every router of the run is
exported; prompts are those of the run's benchmarks. Compared are greedy tokens, in float32, the
scores of one router, and its speed: with ``--speed`` it, its base by the same path, vLLM's
Transformers backend, and its base by vLLM's own class are timed in turns. Speed is in tokens a
second of the processor, by one thread, so that what else the machine does counts little.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

import selfmoe
from exports import asked, engines
from selfmoe.api.load import load_system
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import LoadedBase
from selfmoe.evaluation.statistics import wilson
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.outward.opening import OpenRun, open_run
from selfmoe.outward.serve.asked import Asked
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json

PATH = click.Path(path_type=Path)
Json = dict[str, Any]


@click.command()
@click.argument("run", type=PATH)
@click.option("--python", type=PATH, required=True, help="An interpreter with vLLM.")
@click.option("--systems", help="By commas; default: every router of the run.")
@click.option("--prompts", "n", default=100, show_default=True, help="Prompts of each; 0: none.")
@click.option("--new", default=64, show_default=True, help="Most tokens of an answer.")
@click.option("--scores", default="", help="Benchmarks to score the first system on, by commas.")
@click.option("--speed", default="", help="Batches to time the first system with, by commas.")
@click.option("--name", help="What the base is called in results; default: as in the run.")
@click.option("--json", "out", type=PATH, required=True, help="Where results are kept.")
def main(
    run: Path,
    python: Path,
    systems: str | None,
    n: int,
    new: int,
    scores: str,
    speed: str,
    name: str | None,
    out: Path,
) -> None:
    """Let vLLM answer as the routers of a run."""
    opened = open_run(run)
    kinds = opened.manifest.systems
    wanted = systems.split(",") if systems else [s for s, k in kinds.items() if k == "router"]
    known = json.loads(out.read_text("utf-8")) if out.exists() else {"bases": {}}
    called = name or opened.manifest.base.name
    found = known["bases"].setdefault(called, {"systems": {}, "scores": {}, "speed": {}})
    with tempfile.TemporaryDirectory() as room:
        for number, system in enumerate(wanted):
            folder = Path(room) / system
            try:
                selfmoe.export(run, system, folder)
            except NotSupportedError as error:
                found["systems"][system] = {"refused": str(error).partition("\n")[0]}
                write_json(out, {**known, "here": versions()})
                continue
            if n or (scores and not number):
                with engines.Engine(python, folder) as engine:
                    known["there"] = engine.versions
                    base = load_system(run, system)
                    if n:
                        found["systems"][system] = _greedy(engine, base, opened, n, new)
                    if scores and not number:
                        found["scores"] |= _scores(engine, base, opened, system, scores.split(","))
            click.echo(f"{system}: {found['systems'].get(system)} {found['scores']}")
            write_json(out, {**known, "here": versions()})
            if speed and not number:
                found["speed"] |= _speed(python, folder, opened, speed.split(","))
            write_json(out, {**known, "here": versions()})


def _greedy(engine: engines.Engine, base: LoadedBase, run: OpenRun, n: int, new: int) -> Json:
    texts = asked.prompts(run, n)
    ends = sorted(ends_of(base.model, base.tokenizer))
    answers = engine.ask(asked.tokens(base, texts), new, ends)["tokens"]
    return {**asked.parted(answers, asked.written(base, texts, new)), "new": new}


def _scores(
    engine: engines.Engine, base: LoadedBase, run: OpenRun, system: str, names: Sequence[str]
) -> Json:
    """Return the scores of vLLM's answers beside those of the run, with intervals over items."""
    found: Json = {}
    for name in names:
        rows = asked.samples(run, system)[BenchmarkName.parse(name).stem]
        benchmark = asked.benchmark(run, name)
        docs = {doc["id"]: doc for doc in benchmark.items}
        stops = Stops(
            ends_of(base.model, base.tokenizer),
            (*benchmark.stops(base.template), *asked.template_stops(base.template)),
            base.tokenizer,
        )
        ids = asked.tokens(base, [row["prompt"] for row in rows])
        ends = sorted(ends_of(base.model, base.tokenizer))
        answers = engine.ask(ids, benchmark.max_new_tokens, ends)["tokens"]
        values = [
            benchmark.score(docs[row["id"]], _text(stops, base, tokens))["score"]
            for row, tokens in zip(rows, answers, strict=True)
        ]
        ours = [row["score"] for row in rows]
        found[name] = {
            "items": len(rows),
            "here": sum(ours) / len(ours),
            "interval": wilson(sum(ours), len(ours)),
            "there": sum(values) / len(values),
            "items_that_differ": sum(a != b for a, b in zip(ours, values, strict=True)),
        }
    return found


def _text(stops: Stops, base: LoadedBase, tokens: Sequence[int]) -> str:
    """Return what an answer says before something that ends it."""
    row = Asked(0, [], most=len(tokens), stops=stops)
    for token in tokens:
        if not row.ended:
            row.write(token)
    return stops.continuation(row, base.tokenizer).text


def _speed(python: Path, folder: Path, run: OpenRun, batches: Sequence[str]) -> Json:
    with ExitStack() as stack:
        three = engines.opened(stack, python, folder, asked.folder_of(run))
        told = {batch: engines.timed(three, int(batch), 1000) for batch in batches}
    for batch, row in told.items():
        click.echo(f"{batch}: prefill {row['prefill']}, decode {row['decode']}")
    return told


if __name__ == "__main__":
    main()
