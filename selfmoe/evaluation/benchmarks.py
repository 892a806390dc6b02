"""Which benchmarks a run asks, which it keeps its training data clear of, and why not the others.

Asked are those named in ``evaluate.benchmarks``. If none is: all targets, and of the others those
whose data is at hand. Training data is kept clear of all of these whether named or not, on both
splits, so that what is asked later was not trained on. Benchmarks whose files are absent cannot be
kept clear of; a target among them is an error if it is asked, and is noted otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import (
    ConfigError,
    DataError,
    MissingDataError,
    UnknownNameError,
    did_you_mean,
)
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import ScoredSplit, Source
from selfmoe.registry.registry import NAME


@dataclass(frozen=True)
class Choice:
    """The benchmarks of one domain that a run asks.

    Attributes:
        asked: Those, in the domain's order; nothing of them is read yet.
        left_out: Id -> why it is not asked, of those that nobody decided against, and of targets
            that training data is not kept clear of.
    """

    asked: list[Benchmark] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def benchmarks_of(domain: Domain, source: Source) -> list[Benchmark]:
    """Return the benchmarks of a domain, whether their data is there or not.

    Raises:
        DataError: If there is no list of them, or a name is not possible or used twice.
    """
    benchmarks = domain.benchmarks(source)
    if not isinstance(benchmarks, list | tuple):  # a generator need not end
        raise _fault(domain, f"returns no list of benchmarks but {type(benchmarks).__name__}")
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if not NAME.fullmatch(name):
            raise _fault(
                domain, f"calls a benchmark {name!r}; allowed are up to 64 of a-z, 0-9, -, _"
            )
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
        identity = str(BenchmarkName(domain.name, benchmark.name))
        if named is not None and identity not in named:
            if absent := _unguarded(benchmark, source):
                choice.left_out[identity] = absent
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
        named: What ``evaluate.benchmarks`` says: it adds those of the hub, and the files of targets
            that it leaves out may be missing.
        targets: Only those that enter the average.

    Raises:
        DataError: If the data of a benchmark that is asked is missing.
    """
    for _, benchmark in guarded_splits(domain, source, named, targets=targets):
        yield benchmark


def guarded_splits(
    domain: Domain, source: Source, named: Sequence[str] | None, *, targets: bool = False
) -> Iterator[tuple[ScoredSplit, Benchmark]]:
    """Yield the same benchmarks, each with the split its items are of; see ``guarded``."""
    other: ScoredSplit = "dev" if source.split == "test" else "test"
    for split in (source.split, other):
        here = replace(source, split=split)
        for benchmark in benchmarks_of(domain, here):
            if targets and benchmark.role != "target":
                continue
            identity = str(BenchmarkName(domain.name, benchmark.name))
            wanted = [identity] if identity in (named or ()) else None
            try:
                absent = _absence(identity, benchmark, here, wanted)
            except DataError:
                asked = named is None or wanted is not None
                if asked and split in benchmark.splits and split == source.split:
                    raise
                continue
            if absent is None:
                yield split, benchmark


def files_of(benchmarks: Iterable[Benchmark]) -> list[Path]:
    """Return the files that benchmarks are read from."""
    return [path for benchmark in benchmarks for path in benchmark.files()]


def refuse_unknown(domains: Sequence[Domain], source: Source, named: Sequence[str]) -> None:
    """Stop if a benchmark is named twice, or is none of the run's domains'.

    Raises:
        ConfigError: If one is named twice.
        UnknownNameError: Naming those there are.
    """
    known = [str(BenchmarkName(d.name, b.name)) for d in domains for b in benchmarks_of(d, source)]
    if double := _double(list(named)):
        raise ConfigError(f"evaluate.benchmarks: '{double}' is named twice")
    names = [domain.name for domain in domains]
    for identity in named:
        if identity not in known:
            no_such = f"track '{source.track}' has no such benchmark"
            what = _missing_domain(identity, names) or no_such
            raise UnknownNameError(
                f"evaluate.benchmarks: '{identity}': {what}{did_you_mean(identity, known)}\n"
                f"  Available: {', '.join(known) or 'none'}."
            )


def _missing_domain(identity: str, domains: Sequence[str]) -> str | None:
    """Return that the domain of a benchmark is none of the run's, if that is what is wrong."""
    try:
        domain = BenchmarkName.parse(identity).domain
    except ValueError:
        return None
    if domain in domains:
        return None
    return f"domain '{domain}' is not among domains ({', '.join(domains)})"


def check_items(domain: str, benchmark: Benchmark) -> None:
    """Stop unless there is a sequence of items, each told apart by its id.

    Raises:
        DataError: Naming the domain, the benchmark and the id.
    """
    if not isinstance(benchmark.items, Sequence):  # a generator need not end
        what = type(benchmark.items).__name__
        raise _fault(domain, f"has no list of items in benchmark '{benchmark.name}' but {what}")
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


def _unguarded(benchmark: Benchmark, source: Source) -> str | None:
    """Return that training data is not kept clear of a target, if its files are absent."""
    if benchmark.role != "target" or source.split not in benchmark.splits:
        return None
    try:
        benchmark.files()
    except MissingDataError as error:
        first = str(error).partition("\n")[0]
        return f"not named, and training data is not kept clear of it: {first}"
    return None


def _double(names: list[str]) -> str | None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if count > 1 else None


def _fault(domain: Domain | str, what: str) -> DataError:
    name = domain if isinstance(domain, str) else domain.name
    return DataError(f"domain '{name}' {what}\n  Report it to the plugin that provides it.")
