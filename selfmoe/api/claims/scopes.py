"""Of which benchmarks a claim speaks, and of which of their items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from selfmoe.api.claims.claim import Claim, Scope
from selfmoe.api.claims.systems import Cast, Part
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.pipeline.plan import Plan

Asked = tuple[Domain, Benchmark]
"""A benchmark, after its domain."""


def in_scope(plan: Plan, claim: Claim, cast: Cast) -> list[Asked]:
    """Return the benchmarks that a claim speaks of, in order.

    Args:
        plan: Whose benchmarks.
        claim: The claim.
        cast: The parts that its systems have.
    """
    keep, lacking = _KEPT[claim.on], _lacking(claim, cast)
    return [
        (domain, benchmark)
        for domain in plan.domains
        for benchmark in plan.choices[domain.name].asked
        if keep(benchmark) and (claim.on != "lacking" or domain.name in lacking(plan))
    ]


def why_empty(scope: Scope, track: str) -> str:
    """Return why a claim has no benchmark to speak of."""
    return _EMPTY[scope].format(track=track)


def _lacking(claim: Claim, cast: Cast) -> Callable[[Plan], Iterable[str]]:
    part = cast.of(claim.one.system) if claim.on == "lacking" else ""
    held = part.experts if isinstance(part, Part) else ()
    return lambda plan: [name for name in plan.config.domains or [] if name not in held]


_KEPT: Mapping[Scope, Callable[[Benchmark], bool]] = {
    "targets": lambda benchmark: benchmark.role == "target",
    "non-targets": lambda benchmark: benchmark.role != "target",
    "lacking": lambda benchmark: benchmark.role == "target",
    "shown": lambda benchmark: benchmark.role == "target" and benchmark.shots > 0,
    "untouched": lambda benchmark: benchmark.role == "target",
}

_EMPTY: Mapping[Scope, str] = {
    "targets": "no target benchmark is asked",
    "non-targets": "track {track} asks no benchmark besides its targets",
    "lacking": "no domain is without an expert",
    "shown": "no target benchmark of track {track} shows solved examples",
    "untouched": "no target benchmark is asked",
}
