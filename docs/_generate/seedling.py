"""Tables about the seedling, from the committed results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from _generate.markdown import code, table
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import System
from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.model import BenchmarkScore, Estimate, RunResults, SystemScores
from selfmoe.reporting.numbers import margin, p_value, percent, points
from selfmoe.reporting.terminal.progress import duration

Json = Mapping[str, Any]

ROOT = Path(__file__).parents[2]
FULL = "seedling-full"
CURATED, UNCURATED = FULL, "seedling-uncurated"
NOISE = ROOT / "results" / "label-noise.json"
Measure = Literal["strict", "lenient"]


@cache
def read(name: str) -> RunResults:
    """Return the results of a run in ``results/``."""
    return RunResults.model_validate_json((ROOT / "results" / f"{name}.json").read_bytes())


def sizes(file: str = FULL) -> str:
    """Return how much was measured, as one sentence."""
    results = read(file)
    items = next(iter(results.systems[0].scores.values())).n
    kept = [c.kept for domains in results.data.values() for c in domains.values()]
    return (
        f"Root seeds {', '.join(map(str, results.seeds))}; {items} test items a domain; "
        f"{min(kept)} to {max(kept)} examples an expert. ± is half the "
        f"{percent(results.confidence, 0)} % interval over the root seeds (Student's t), for the "
        "two rows of the base over items (Wilson), since no seed touches it. All cells together "
        f"took {duration(sum(results.seconds.values()))}, on one thread each, beside other work.\n"
    )


def scores(file: str = FULL) -> str:
    """Return every system's scores, strict and lenient, with its gains over the base."""
    results = read(file)
    names, base = list(results.systems[0].scores), results.systems[0]
    rows = [
        [
            code(system.name),
            *(_both(system.scores.get(name)) for name in names),
            f"**{percent(system.average)}**{margin(system.average_low, system.average_high)} "
            f"({percent(system.average_lenient)})",
            points(system.average, base.average),
            points(system.average_lenient, base.average_lenient),
        ]
        for system in results.systems
    ]
    head = ["system", *(_domain(name) for name in names), "average", "gain", "gain, any form"]
    return table(head, rows)


def comparison(file: str = FULL) -> str:
    """Return every system's difference to the first composition, item by item."""
    paired = read(file).paired
    assert paired is not None
    rows = [
        [code(name), *_difference(found.score), *_difference(found.lenient)]
        for name, found in paired.systems.items()
    ]
    return table([f"system less {code(paired.reference)}", "strict", "p", "any form", "p"], rows)


def experts(file: str = FULL) -> str:
    """Return what experts gain on their own domain and elsewhere, over the root seeds."""
    rows = []
    strict, lenient = _gains(file, "strict"), _gains(file, "lenient")
    for name in [*strict[0], "all four"]:
        parts = [part.get(name) or _mean(part.values()) for part in (*strict, *lenient)]
        rows.append([name, *map(_interval, parts)])
    head = ["expert", "own, strict", "elsewhere, strict", "own, any form", "elsewhere, any form"]
    return table(head, rows)


def routing(file: str = FULL) -> str:
    """Return the routing shares of the first routed system, on answers and on all tokens."""
    results = read(file)
    assert results.paired is not None
    system = results.paired.reference
    parts = (results.routing_response[system], results.routing[system])
    names = list(next(iter(parts[0].values())))
    rows = [
        [_domain(asked), *(percent(part[asked][e], 0) for part in parts for e in names)]
        for asked in parts[0]
    ]
    return table(["asked", *(f"{e}, {w}" for w in ("answer", "all") for e in names)], rows)


def labels() -> str:
    """Return how much of the self-generated data is right, before and after curation."""
    rows = []
    noise = json.loads(NOISE.read_text("utf-8"))
    for name, row in {**noise["domains"], "all four": noise["all"]}.items():
        before, after = row["before"], row["after"]
        rows.append(
            [
                name,
                str(row["written"]),
                _share(row["new"]),
                _share(before["sensible"]),
                _share(before["right"]),
                f"{after['tasks']} of {before['tasks']}",
                _share(after["sensible"]),
                _share(after["right"]),
            ]
        )
    head = ["domain", "texts", "parse, no copies", "make sense", "right", "kept", "make sense"]
    return table([*head, "right"], rows)


def curation() -> str:
    """Return what curation changes in the scores, on the root seeds that were done without it."""
    rows = []
    places = [read(CURATED).seeds.index(seed) for seed in read(UNCURATED).seeds]
    measures: tuple[tuple[Measure, str], ...] = (("strict", "strict"), ("lenient", "any form"))
    for measure, title in measures:
        plain = _own(UNCURATED, measure)
        curated = {n: [v[i] for i in places] for n, v in _own(CURATED, measure).items()}
        for name, values in plain.items():
            change = [a - b for a, b in zip(curated[name], values, strict=True)]
            both = (percent(fmean(values)), percent(fmean(curated[name])))
            rows.append([name, title, *both, _interval(change)])
    seeds = ", ".join(map(str, read(UNCURATED).seeds))
    head = ["system", "score", "without", "with", f"difference, root seeds {seeds}"]
    return table(head, rows)


def _own(file: str, measure: Measure) -> dict[str, list[float]]:
    """Return, by root seed, experts' scores at home and compositions' averages."""
    found = {}
    for system in read(file).systems:
        name, scores = system.name, system.scores
        if system.kind == "expert":
            (home,) = [s for asked, s in scores.items() if _expert(asked) == name]
            found[name] = _by_seed(home, measure)
        elif name in ("mixse", "instance"):
            found[name] = averages(system, measure)
    return found


def averages(system: SystemScores, measure: Measure = "strict") -> list[float]:
    """Return a system's average of each root seed, over the target benchmarks."""
    targets = (score for score in system.scores.values() if score.role == "target")
    return _mean(_by_seed(score, measure) for score in targets)


def _by_seed(score: BenchmarkScore, measure: Measure) -> list[float]:
    """Return a score of each root seed."""
    values = score.by_seed if measure == "strict" else score.lenient_by_seed
    return [value for value in values or () if value is not None]


def _expert(benchmark: str) -> str:
    """Return the system that is the expert of a benchmark's domain."""
    return System.of_expert(_domain(benchmark)).name


def _gains(file: str, measure: Measure) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return ``domain -> its expert's gain over the base by root seed``, at home and elsewhere."""
    systems = {system.name: system.scores for system in read(file).systems}
    base = {
        name: float((score.value if measure == "strict" else score.lenient) or 0.0)
        for name, score in systems["base"].items()
    }
    own, other = {}, {}
    for name in base:
        expert = systems[_expert(name)]
        gains = {a: [v - base[a] for v in _by_seed(expert[a], measure)] for a in base}
        own[_domain(name)] = gains.pop(name)
        other[_domain(name)] = _mean(gains.values())
    return own, other


def _domain(benchmark: str) -> str:
    return BenchmarkName.parse(benchmark).domain


def _both(score: BenchmarkScore | None) -> str:
    if score is None or (spread := score.spread) is None:
        return "–"
    return f"{percent(spread.value)} ±{percent(spread.half, 0)} ({percent(spread.lenient)})"


def _difference(found: Estimate | None) -> Iterator[str]:
    if found is None or found.p is None:
        yield from ("–", "–")
        return
    between = f"[{points(found.low, 0.0)}, {points(found.high, 0.0)}]"
    yield f"{points(found.difference, 0.0)} {between}"
    yield p_value(found.p)


def _share(found: Json) -> str:
    share, low, high = (percent(found[key], 0) for key in ("share", "low", "high"))
    return f"{share} % [{low}, {high}]"


def _mean(rows: Iterable[Sequence[float]]) -> list[float]:
    return [fmean(column) for column in zip(*rows, strict=True)]


def _interval(values: Sequence[float]) -> str:
    stderr = stdev(values) / sqrt(len(values))
    half, _ = confident(fmean(values), stderr, len(values) - 1, read(FULL).confidence)
    return f"{points(fmean(values), 0.0)} ±{percent(half)}"
