"""Systems in turn, round by round, and what the rounds say about each.

Within a round every system does the job once, in an order that is reversed from one round to the
next; a ratio is that of two times of the same round. A ratio above 1 is how many times as fast a
system is as the former build. Where systems write different numbers of tokens it is of time per
token.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Results = Mapping[str, Sequence[Json]]
"""System -> what came of each round."""
FORMER = "former"


def alternate(
    jobs: Mapping[str, Json], rounds: int, carry_out: Callable[[Json], Json]
) -> dict[str, list[Json]]:
    """Return what came of each round, by system."""
    found: dict[str, list[Json]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name in list(jobs)[:: -1 if number % 2 else 1]:
            found[name].append(carry_out(jobs[name]))
    return found


def written(results: Results) -> dict[str, Json]:
    """Return what rounds of continued prompts say about each system.

    Returns:
        System -> ``prefill``, ``decode`` and ``whole``, or the last one alone where they cannot be
        told apart, each with ``ratio``, ``low``, ``high`` and ``seconds``; ``tokens``, the median
        of all that it wrote in a round, and ``same``: how many prompts it went on with as the
        former build did in the first round.
    """
    return {
        name: {
            **{part: _spread(results, name, part) for part in _parts(rounds)},
            "tokens": statistics.median(map(_count, rounds)),
            "same": _same(rounds[0]["tokens"], results[FORMER][0]["tokens"]),
        }
        for name, rounds in results.items()
    }


def _parts(rounds: Sequence[Json]) -> tuple[str, ...]:
    return ("prefill", "decode", "whole") if rounds[0]["prefill"] else ("whole",)


def answered(results: Results) -> dict[str, Json]:
    """Return what rounds of an evaluation say about each system.

    Returns:
        System -> ``whole``, as in ``written``; ``score``, and ``same``: how many items it answered
        as the former build did in the first round.
    """
    return {
        name: {
            "whole": _spread(results, name, "whole"),
            "score": rounds[0]["score"],
            "same": _same(rounds[0]["answers"], results[FORMER][0]["answers"]),
        }
        for name, rounds in results.items()
    }


def summed(several: Sequence[Results]) -> dict[str, Json]:
    """Return ``whole`` of several workloads together, of the systems that did all of them.

    Each time is scaled to the tokens that the former build wrote in that round.
    """
    names = [name for name in several[0] if all(name in results for results in several)]
    rounds = range(min(len(results[FORMER]) for results in several))
    totals = {
        name: [sum(_scaled(results, name, number) for results in several) for number in rounds]
        for name in names
    }
    return {name: {"whole": _ratios(totals[FORMER], times)} for name, times in totals.items()}


def _scaled(results: Results, name: str, number: int) -> float:
    mine, other = results[name][number], results[FORMER][number]
    return float(mine["whole"]) * _amount(other, "whole") / _amount(mine, "whole")


def _spread(results: Results, name: str, part: str) -> Json:
    former, mine = ([_cost(one, part) for one in results[key]] for key in (FORMER, name))
    seconds = statistics.median(_seconds(one, part) for one in results[name])
    return {**_ratios(former, mine), "seconds": round(seconds, 4)}


def _ratios(former: Iterable[float], mine: Sequence[float]) -> Json:
    each = [one / other for one, other in zip(former, mine, strict=True)]
    spread = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    low, middle, high = (round(value, 4) for value in spread)
    return {"ratio": middle, "low": low, "high": high, "seconds": round(statistics.median(mine), 4)}


def _cost(one: Json, part: str) -> float:
    """Return seconds for what has to be done anyway: a prompt, an item, a token."""
    return _seconds(one, part) / _amount(one, part)


def _seconds(one: Json, part: str) -> float:
    return one["whole"] - one["prefill"] if part == "decode" else float(one[part])


def _amount(one: Json, part: str) -> int:
    if "answers" in one:
        return len(one["answers"])
    return len(one["tokens"]) if part == "prefill" else max(1, _count(one))


def _count(one: Json) -> int:
    return sum(map(len, one["tokens"]))


def _same(mine: Sequence[Any], other: Sequence[Any]) -> int:
    return sum(one == two for one, two in zip(mine, other, strict=True))
