"""Which items of a benchmark share words in a row with what experts learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.records import Example
from selfmoe.contracts.text import ngrams, normalise, words
from selfmoe.contracts.words import size
from selfmoe.pipeline.curation.overlap import SHORT


def touched(benchmark: Benchmark, examples: Iterable[Example]) -> set[str]:
    """Return the ids of the items that share ``SHORT`` words in a row with an example.

    An item that is shorter is touched by an example that holds the same text. Of items with an
    input, the input is the question.
    """
    grams: set[tuple[str, ...]] = set()
    texts: set[str] = set()
    for example in examples:
        question = example.input or example.instruction
        grams |= ngrams(words(f"{question} {example.response}"), SHORT)
        texts.add(normalise(question))
    return {str(doc["id"]) for doc in benchmark.items if _held(benchmark, doc, grams, texts)}


def _held(
    benchmark: Benchmark, doc: Mapping[str, Any], grams: set[tuple[str, ...]], texts: set[str]
) -> bool:
    task = benchmark.ask(doc)
    question = task.input or task.instruction
    tokens = words(question)
    if size(tokens) < SHORT:
        return normalise(question) in texts
    return bool(ngrams(tokens, SHORT) & grams)
