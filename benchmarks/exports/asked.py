"""What systems of a run are asked, and what they answer here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import LoadedBase
from selfmoe.evaluation.benchmarks import benchmarks_of
from selfmoe.evaluation.prompting import TEMPLATE_STOPS
from selfmoe.models.generation import generate
from selfmoe.models.tokens import prompt_ids
from selfmoe.outward.opening import OpenRun
from selfmoe.store.files import read_jsonl


def samples(run: OpenRun, system: str) -> dict[str, list[dict[str, Any]]]:
    """Return what a system answered when it was evaluated, by benchmark."""
    files = sorted((run.directory.root / "evaluations").glob(f"{system}@*/*.samples.jsonl"))
    return {file.name.removesuffix(".samples.jsonl"): list(read_jsonl(file)) for file in files}


def prompts(run: OpenRun, n: int) -> list[str]:
    """Return n prompts, as many of each benchmark; all systems were asked these."""
    rows = samples(run, "base")
    each = -(-n // len(rows))
    return [row["prompt"] for some in rows.values() for row in some[:each]][:n]


def tokens(base: LoadedBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of prompts."""
    return [prompt_ids(base.tokenizer, text) for text in texts]


def written(base: LoadedBase, texts: Sequence[str], new: int) -> list[tuple[list[int], float]]:
    """Return the tokens that follow each prompt, and how near another came."""
    found = generate(base.model, base.tokenizer, texts, max_new_tokens=new, batch_size=10)
    return [(list(one.tokens), one.margin) for one in found]


def parted(
    found: Sequence[Sequence[int]], expected: Sequence[tuple[Sequence[int], float]]
) -> dict[str, Any]:
    """Return how many answers are equal, and how near another token came in those that are not."""
    pairs = list(zip(found, expected, strict=True))
    gaps = [gap for tokens, (wanted, gap) in pairs if list(tokens) != list(wanted)]
    return {"equal": len(pairs) - len(gaps), "of": len(pairs), "gaps_where_not": gaps}


def folder_of(run: OpenRun) -> Path:
    """Return where the base lies."""
    return Path(run.files.path)


def benchmark(run: OpenRun, name: str) -> Benchmark:
    """Return a benchmark that a run was asked, by ``<domain>/<name>``."""
    wanted = BenchmarkName.parse(name)
    registry, source = run.config.registry, run.config.source
    offered = benchmarks_of(registry.configure("domain", wanted.domain), source)
    return next(one for one in offered if one.name == wanted.name)


def template_stops(template: str) -> tuple[str, ...]:
    """Return the strings that end an answer in a template."""
    return TEMPLATE_STOPS[template]
