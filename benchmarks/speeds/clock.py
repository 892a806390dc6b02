"""Ratios of CPU time, measured round by round in one process.

Within a round every system does the work once, in an order that is reversed from one round to the
next; a ratio is that of two times of the same round. The base stands twice in every round: how far
its twin's median ratio is from 1 is what the machine adds by itself.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
BASE, TWIN = "base", "twin"
TOLERANCE = 0.02
"""How far the twin's median ratio may be from 1 for a measurement to count."""


def measure(
    work: Mapping[str, Callable[[], object]], rounds: int, tries: int, say: Callable[[str], None]
) -> Json:
    """Return each system's ratio to the base, of the first try with a quiet noise floor.

    Args:
        work: System -> what it does in a round; has ``base`` and ``twin``.
        rounds: Rounds of a try.
        tries: How often to try at the most.
        say: Told what came of a try.

    Returns:
        ``systems``: name -> ``ratio`` (median), ``low`` and ``high`` (quartiles), ``seconds``
        (median CPU time of a round); ``discarded``: the twin's ratios of the tries that did not
        count; ``counts``: whether this one does.
    """
    for one in work.values():
        one()
    discarded: list[float] = []
    while True:
        systems = ratios(_timed(work, rounds))
        floor = systems[TWIN]["ratio"]
        quiet = abs(floor - 1) <= TOLERANCE
        say(f"noise floor {floor:.3f}" + ("" if quiet else ", not quiet enough"))
        if quiet or len(discarded) + 1 >= tries:
            return {"systems": systems, "discarded": discarded, "counts": quiet, "rounds": rounds}
        discarded.append(floor)


def _timed(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in work}
    gc.collect()
    gc.freeze()  # models are not looked through again before every piece of work
    for number in range(rounds):
        for name in list(work)[:: -1 if number % 2 else 1]:
            gc.collect()
            gc.disable()
            start = time.process_time()
            work[name]()
            seconds[name].append(time.process_time() - start)
            gc.enable()
    gc.unfreeze()
    return seconds


def ratios(seconds: Mapping[str, list[float]], against: str = BASE) -> dict[str, Json]:
    """Return what rounds of seconds, by system, say about each system relative to one of them."""
    found = {}
    for name, times in seconds.items():
        each = [one / base for one, base in zip(times, seconds[against], strict=True)]
        low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
        found[name] = {
            "ratio": round(middle, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "seconds": round(statistics.median(times), 6),
        }
    return found


def above_floor(systems: Mapping[str, Json], name: str) -> float:
    """Return a system's ratio less what the twin's is above 1."""
    return float(systems[name]["ratio"] - max(0.0, systems[TWIN]["ratio"] - 1))
