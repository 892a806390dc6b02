"""Asking a domain for its benchmarks, and making sure that results can be told apart."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from selfmoe.components import Benchmark, Domain
from selfmoe.errors import DataError
from selfmoe.records import ScoredSplit, Source
from selfmoe.registry import NAME


def benchmarks_of(domain: Domain, source: Source) -> list[Benchmark]:
    """Return the benchmarks of a domain.

    Raises:
        DataError: If the source is missing or malformed, or two benchmarks or two items of one
            have the same name.
    """
    benchmarks = domain.benchmarks(source)
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if not NAME.fullmatch(name):
            raise _fault(domain, f"calls a benchmark {name!r}; allowed are a-z, 0-9, - and _")
    if double := _double(names):
        raise _fault(domain, f"has two benchmarks called '{double}'")
    for benchmark in benchmarks:
        ids = [str(doc.get("id", "")) for doc in benchmark.items]
        if double := _double(ids):
            raise _fault(domain, f"has two items '{double}' in benchmark '{benchmark.name}'")
        if "" in ids:
            raise _fault(domain, f"has an item without id in benchmark '{benchmark.name}'")
    return benchmarks


def of_all_splits(domain: Domain, source: Source) -> Iterator[Benchmark]:
    """Yield the benchmarks with the items of both splits, whichever ``source`` asks for.

    The other split's files may be missing: then it has no items to keep clear of.
    """
    yield from benchmarks_of(domain, source)
    other: ScoredSplit = "dev" if source.split == "test" else "test"
    with contextlib.suppress(DataError):
        yield from benchmarks_of(domain, replace(source, split=other))


def _double(names: list[str]) -> str | None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if count > 1 else None


def _fault(domain: Domain, what: str) -> DataError:
    return DataError(f"domain '{domain.name}' {what}\n  Report it to the plugin that provides it.")
