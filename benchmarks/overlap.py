"""How much of running written code takes no time of its own: `benchmarks/overlap.py BASE --data F`.

HumanEval is asked as a run asks it, and it is noted when the model writes and when its programs
run in the sandbox: those of one shard while the next one is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import click
import torch

from selfmoe.config.resolve import resolve
from selfmoe.contracts.records import Source
from selfmoe.evaluation.asking import Asker
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.models.base import find_base, load_base
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from selfmoe_domain_coding.humaneval import HumanEval
from speeds.machine import processor

PATH = click.Path(path_type=Path)
Span = tuple[float, float]
"""When something began and ended, in seconds."""


@contextmanager
def timed(name: str) -> Iterator[list[Span]]:
    """Note when a method of those that ask benchmarks runs.

    Args:
        name: The method.

    Yields:
        When it ran, in the order in which it ended.
    """
    spans: list[Span] = []
    method: Callable[..., Any] = getattr(Asker, name)

    def noting(*args: Any) -> Any:
        start = time.monotonic()
        try:
            return method(*args)
        finally:
            spans.append((start, time.monotonic()))

    with patch.object(Asker, name, noting):
        yield spans


def shared(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """Return in how many seconds one of the first runs, and one of the others too.

    Neither may run twice at once.
    """
    pairs = ((one, other) for one in spans for other in others)
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in pairs)


def lasting(spans: Sequence[Span]) -> float:
    """Return the seconds of all together."""
    return sum(end - start for start, end in spans)


@click.command()
@click.argument("base")
@click.option("--name", help="What the base is called in results; default: the same.")
@click.option("--data", type=PATH, required=True, help="Folder with HumanEval's file.")
@click.option("--template", help="How prompts are put; default: the benchmark's own way.")
@click.option("--items", type=int, help="Only so many.")
@click.option("--threads", default=1, show_default=True, help="Of torch.")
@click.option("--json", "target", type=PATH, help="Write JSON there.")
def command(
    base: str,
    name: str | None,
    data: Path,
    template: str | None,
    items: int | None,
    threads: int,
    target: Path | None,
) -> None:
    """Measure how much of the sandbox's time the model writes meanwhile."""
    torch.set_num_threads(threads)
    config = resolve({"base": base, "dtype": "float32"})
    loaded = load_base(find_base(config), config)
    with ExitStack() as stack:
        work = Path(stack.enter_context(TemporaryDirectory()))
        wrote, ran = (stack.enter_context(timed(one)) for one in ("ask", "finish"))
        start = time.monotonic()
        score, rows = evaluate(
            loaded.model, loaded.tokenizer, HumanEval(Source("benchmark", data)),
            Setup(items, 32, template), benchmark_id="coding/humaneval", context=loaded.context,
            work=work,
        )  # fmt: skip
        waited = time.monotonic() - start
    found = {
        "base": name or base,
        "template": score.extra["template"],
        "items": len(rows),
        "score": round(100 * score.value, 2),
        "sandbox": score.extra.get("sandbox"),
        "threads": threads,
        "writing": round(lasting(wrote), 2),
        "running": round(lasting(ran), 2),
        "both": round(shared(wrote, ran), 2),
        "waited": round(waited, 2),
    }
    click.echo(str(found))
    if target is not None:
        how = "benchmarks/overlap.py BASE --data FOLDER --json results/overlap.json"
        facts = {"command": how, "processor": processor(), "versions": dict(versions())}
        write_json(target, {**facts, **found})


if __name__ == "__main__":
    command()
