"""Keeping benchmark items out of the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Instruction, Seed
from selfmoe.contracts.text import normalise


def item_keys(benchmark: Benchmark) -> dict[str, Mapping[str, Any]]:
    """Return ``question -> item`` for all items of a benchmark."""
    keys = {}
    for doc in benchmark.items:
        task: Instruction = benchmark.ask(doc)
        keys[normalise(task.instruction, task.input)] = doc
    return keys


def refuse_leaks(domain: str, seeds: Sequence[Seed], benchmarks: Iterable[Benchmark]) -> None:
    """Stop if a seed asks the same question as a benchmark item.

    Raises:
        DataError: Naming the seed, the benchmark and the item.
    """
    for benchmark in benchmarks:
        items = item_keys(benchmark)
        for seed in seeds:
            found = items.get(normalise(seed.instruction, seed.input))
            if found is not None:
                raise DataError(
                    f"seed '{seed.id}' of domain '{domain}' is item '{found['id']}' of its "
                    f"benchmark '{benchmark.name}'\n"
                    "  Experts must not see what they are tested on; take seeds from training data."
                )
