"""Tables about the seedling, from the committed results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from _generate.markdown import code, table
from selfmoe.contracts.names import BenchmarkName
from selfmoe.evaluation.statistics import confident
from selfmoe.reporting.terminal.progress import duration

Json = Mapping[str, Any]

ROOT = Path(__file__).parents[2]
FULL, UNCURATED, NOISE = "seedling-full", "seedling-uncurated", "label-noise"
STRICT, LENIENT = "by_seed", "lenient_by_seed"


@cache
def read(name: str) -> Json:
    """Return a file of ``results/``."""
    found: Json = json.loads((ROOT / "results" / f"{name}.json").read_text("utf-8"))
    return found


def sizes() -> str:
    """Return how much was measured, as one sentence."""
    results = read(FULL)
    items = next(iter(results["systems"][0]["scores"].values()))["n"]
    kept = [c["kept"] for domains in results["data"].values() for c in domains.values()]
    return (
        f"Root seeds {', '.join(map(str, results['seeds']))}; {items} test items a domain; "
        f"{min(kept)} to {max(kept)} examples an expert. ± is half the "
        f"{100 * results['confidence']:.0f} % interval over the root seeds (Student's t), for the "
        "two rows of the base over items (Wilson), since no seed touches it. All cells together "
        f"took {duration(sum(results['seconds'].values()))}, on one thread each.\n"
    )


def scores() -> str:
    """Return every system's scores, strict and lenient, with its gains over the base."""
    results = read(FULL)
    names, base = list(results["systems"][0]["scores"]), results["systems"][0]
    rows = [
        [
            code(system["name"]),
            *(_both(system["scores"].get(name)) for name in names),
            f"**{_percent(system['average'])}** {_half(system)} "
            f"({_percent(system['average_lenient'])})",
            _points(system["average"] - base["average"]),
            _points(system["average_lenient"] - base["average_lenient"]),
        ]
        for system in results["systems"]
    ]
    head = ["system", *(_domain(name) for name in names), "average", "gain", "gain, any form"]
    return table(head, rows)


def comparison() -> str:
    """Return every system's difference to the first composition, item by item."""
    paired = read(FULL)["paired"]
    rows = [
        [code(name), *_difference(found["score"]), *_difference(found["lenient"])]
        for name, found in paired["systems"].items()
    ]
    return table([f"system less {code(paired['reference'])}", "strict", "p", "any form", "p"], rows)


def experts() -> str:
    """Return what experts gain on their own domain and elsewhere, over the root seeds."""
    rows = []
    strict, lenient = _gains(FULL, STRICT), _gains(FULL, LENIENT)
    for name in [*strict[0], "all four"]:
        parts = [part.get(name) or _mean(part.values()) for part in (*strict, *lenient)]
        rows.append([name, *map(_interval, parts)])
    head = ["expert", "own, strict", "elsewhere, strict", "own, any form", "elsewhere, any form"]
    return table(head, rows)


def routing() -> str:
    """Return the routing shares of the first routed system, on answers and on all tokens."""
    results = read(FULL)
    system = results["paired"]["reference"]
    parts = (results["routing_response"][system], results["routing"][system])
    names = list(next(iter(parts[0].values())))
    rows = [
        [_domain(asked), *(f"{100 * part[asked][e]:.0f}" for part in parts for e in names)]
        for asked in parts[0]
    ]
    return table(["asked", *(f"{e}, {w}" for w in ("answer", "all") for e in names)], rows)


def labels() -> str:
    """Return how much of the self-generated data is right, before and after curation."""
    rows = []
    noise = read(NOISE)
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
    places = [read(FULL)["seeds"].index(seed) for seed in read(UNCURATED)["seeds"]]
    for measure, title in ((STRICT, "strict"), (LENIENT, "any form")):
        plain = _own(UNCURATED, measure)
        curated = {n: [v[i] for i in places] for n, v in _own(FULL, measure).items()}
        for name, values in plain.items():
            change = [a - b for a, b in zip(curated[name], values, strict=True)]
            both = (_average(values), _average(curated[name]))
            rows.append([name, title, *both, _interval(change)])
    seeds = ", ".join(map(str, read(UNCURATED)["seeds"]))
    head = ["system", "score", "without", "with", f"difference, root seeds {seeds}"]
    return table(head, rows)


def _own(file: str, measure: str) -> dict[str, list[float]]:
    """Return, by root seed, experts' scores at home and compositions' averages."""
    found = {}
    for system in read(file)["systems"]:
        name, scores = system["name"], system["scores"]
        if system["kind"] == "expert":
            (home,) = [s for asked, s in scores.items() if name == f"expert-{_domain(asked)}"]
            found[name] = home[measure]
        elif name in ("mixse", "instance"):
            found[name] = _mean(score[measure] for score in scores.values())
    return found


def _gains(file: str, measure: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return ``domain -> its expert's gain over the base by root seed``, at home and elsewhere."""
    systems = {system["name"]: system["scores"] for system in read(file)["systems"]}
    key = "value" if measure == STRICT else "lenient"
    base = {name: score[key] for name, score in systems["base"].items()}
    own, other = {}, {}
    for name in base:
        expert = systems[f"expert-{_domain(name)}"]
        gains = {asked: [v - base[asked] for v in expert[asked][measure]] for asked in base}
        own[_domain(name)] = gains.pop(name)
        other[_domain(name)] = _mean(gains.values())
    return own, other


def _domain(benchmark: str) -> str:
    return BenchmarkName.parse(benchmark).domain


def _both(score: Json | None) -> str:
    if score is None:
        return "–"
    half = 50 * (score["high"] - score["low"])
    return f"{_percent(score['value'])} ±{half:.0f} ({_percent(score['lenient'])})"


def _half(system: Json) -> str:
    return f"±{50 * (system['average_high'] - system['average_low']):.1f}"


def _difference(found: Json | None) -> Iterator[str]:
    if found is None or found["p"] is None:
        yield from ("–", "–")
        return
    yield f"{_points(found['difference'])} [{_points(found['low'])}, {_points(found['high'])}]"
    yield "< 0.001" if found["p"] < 0.001 else f"{found['p']:.3f}"


def _share(found: Json) -> str:
    return f"{100 * found['share']:.0f} % [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def _mean(rows: Iterable[Sequence[float]]) -> list[float]:
    return [fmean(column) for column in zip(*rows, strict=True)]


def _interval(values: Sequence[float]) -> str:
    stderr = stdev(values) / sqrt(len(values))
    half, _ = confident(fmean(values), stderr, len(values) - 1, read(FULL)["confidence"])
    return f"{_points(fmean(values))} ±{100 * half:.1f}"


def _average(values: Sequence[float]) -> str:
    return _percent(fmean(values))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
