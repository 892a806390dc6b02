"""Which benchmarks a run asks, which it keeps its training data clear of, and why not the others.

Asked are those named in ``evaluate.benchmarks``. If none is: all targets, and of the others those
whose data is at hand. Training data is kept clear of all of these whether named or not, on both
splits, so that what is asked later was not trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfmoe.components import Benchmark, Domain
from selfmoe.errors import DataError, MissingDataError, unknown_name
from selfmoe.records import ScoredSplit, Source
from selfmoe.registry import NAME


@dataclass(frozen=True)
class Choice:
    """The benchmarks of one domain that a run asks.

    Attributes:
        asked: Those, in the domain's order; nothing of them is read yet.
        left_out: Id -> why it is not asked, of those that nobody decided against.
    """

    asked: list[Benchmark] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def benchmarks_of(domain: Domain, source: Source) -> list[Benchmark]:
    """Return the benchmarks of a domain, whether their data is there or not.

    Raises:
        DataError: If a name is not possible or used twice.
    """
    benchmarks = domain.benchmarks(source)
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if not NAME.fullmatch(name):
            raise _fault(domain, f"calls a benchmark {name!r}; allowed are a-z, 0-9, - and _")
    if double := _double(names):
        raise _fault(domain, f"has two benchmarks called '{double}'")
    return benchmarks


def choose(domain: Domain, source: Source, named: Sequence[str] | None) -> Choice:
    """Return what is asked of a domain.

    Args:
        domain: Whose benchmarks.
        source: Where they are read from, and which split.
        named: Ids to ask and no others; ``None`` for all there are.

    Raises:
        DataError: If the data of a target or of a named benchmark is missing.
    """
    choice = Choice()
    for benchmark in benchmarks_of(domain, source):
        identity = f"{domain.name}/{benchmark.name}"
        if named is not None and identity not in named:
            continue
        reason = _absence(identity, benchmark, source, named)
        if reason is None:
            choice.asked.append(benchmark)
        else:
            choice.left_out[identity] = reason
    return choice


def guarded(
    domain: Domain, source: Source, named: Sequence[str] | None, *, targets: bool = False
) -> Iterator[Benchmark]:
    """Yield the benchmarks that training data is kept clear of, with the items of both splits.

    Args:
        domain: Whose benchmarks.
        source: Where they are read from; files of the split not asked for may be missing.
        named: What ``evaluate.benchmarks`` adds.
        targets: Only those that enter the average.
    """
    other: ScoredSplit = "dev" if source.split == "test" else "test"
    for split in (source.split, other):
        here = replace(source, split=split)
        for benchmark in benchmarks_of(domain, here):
            if targets and benchmark.role != "target":
                continue
            identity = f"{domain.name}/{benchmark.name}"
            wanted = [identity] if identity in (named or ()) else None
            try:
                if _absence(identity, benchmark, here, wanted) is None:
                    yield benchmark
            except DataError:
                if split in benchmark.splits and split == source.split:
                    raise


def files_of(benchmarks: Iterator[Benchmark]) -> list[Path]:
    """Return the files that benchmarks are read from."""
    return [path for benchmark in benchmarks for path in benchmark.files()]


def refuse_unknown(domains: Sequence[Domain], source: Source, named: Sequence[str]) -> None:
    """Stop if a named benchmark is none of the run's domains'.

    Raises:
        UnknownNameError: Naming those there are.
    """
    known = [f"{d.name}/{b.name}" for d in domains for b in benchmarks_of(d, source)]
    for identity in named:
        if identity not in known:
            raise unknown_name("benchmark", identity, known)


def check_items(domain: str, benchmark: Benchmark) -> None:
    """Stop unless every item can be told apart by its id.

    Raises:
        DataError: Naming the domain, the benchmark and the id.
    """
    ids = [str(doc.get("id", "")) for doc in benchmark.items]
    if double := _double(ids):
        raise _fault(domain, f"has two items '{double}' in benchmark '{benchmark.name}'")
    if "" in ids:
        raise _fault(domain, f"has an item without id in benchmark '{benchmark.name}'")


def _absence(
    identity: str, benchmark: Benchmark, source: Source, named: Sequence[str] | None
) -> str | None:
    """Return why a benchmark cannot be asked though nobody decided against it."""
    needed = named is not None or benchmark.role == "target"
    if source.split not in benchmark.splits:
        if named is not None:
            raise DataError(
                f"benchmark '{identity}' has no items of split '{source.split}'\n"
                f"  Available: {', '.join(benchmark.splits)}; see evaluate.split."
            )
        return f"it has no {source.split} items"
    if benchmark.remote and not needed:
        return "name it in evaluate.benchmarks to fetch it from the hub"
    try:
        benchmark.files()
    except MissingDataError as error:
        if needed:
            raise
        return str(error).partition("\n")[0]
    return None


def _double(names: list[str]) -> str | None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if count > 1 else None


def _fault(domain: Domain | str, what: str) -> DataError:
    name = domain if isinstance(domain, str) else domain.name
    return DataError(f"domain '{name}' {what}\n  Report it to the plugin that provides it.")
