"""Seeds of the benchmark track: MBPP's training problems in the form of HumanEval."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from selfmoe.datafiles import tidy
from selfmoe.errors import DataError, StageError
from selfmoe.records import Rejected, Seed, Source
from selfmoe.text import normalise
from selfmoe_domain_coding.mbpp import Part, rows, some_rows
from selfmoe_domain_coding.normalise import Problem, to_humaneval

TASK = "Complete the following Python function."
"""The instruction of every seed, and of HumanEval's items where they are put as instructions."""

_ASKED: tuple[Part, ...] = ("prompt", "test", "validation")


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` training problems with their solutions, in an order that ``rng`` draws.

    A solution is run against its tests in the sandbox before it is used. What cannot be rewritten
    or does not pass is left out, and a warning lists it with the reason. Without a sandbox nothing
    is run, and a warning says that. Of problems that upstream has twice, with one of the two in a
    part that is asked or shown, neither is a seed.

    Raises:
        DataError: If the data is missing or malformed, or too few problems are left.
        StageError: If the sandbox itself fails.
    """
    taken = {normalise(row["text"]) for part in _ASKED for row in rows(source, part)}
    left = [row for row in some_rows(source, "train") if normalise(row["text"]) not in taken]
    rng.shuffle(left)
    found: list[Seed] = []
    refused: dict[str, str] = {}
    while left and len(found) < n:
        wanted = n - len(found)
        batch, left = left[:wanted], left[wanted:]
        made = {row["id"]: to_humaneval(row) for row in batch}
        checked = {**made, **_refuse_failing(made)}
        refused |= {i: p.reason for i, p in checked.items() if isinstance(p, Rejected)}
        found += [_seed(i, p) for i, p in checked.items() if isinstance(p, Problem)]
    if refused:
        _warn(refused)
    if len(found) < n:
        raise DataError(
            f"MBPP has {len(found)} training problems for seeds, {n} were asked for\n"
            "  Lower seeds.n."
        )
    return found


def _seed(identity: str, problem: Problem) -> Seed:
    return Seed(identity, TASK, tidy(problem.prompt), problem.program)


def _refuse_failing(made: Mapping[str, Problem | Rejected]) -> dict[str, Rejected]:
    problems = {i: problem for i, problem in made.items() if isinstance(problem, Problem)}
    programs = tuple(f"{p.program}\n{p.test}check({p.entry_point})\n" for p in problems.values())
    faults = dict(zip(problems, _faults(programs), strict=True))
    return {i: Rejected(fault) for i, fault in faults.items() if fault}


@cache
def _faults(programs: tuple[str, ...]) -> tuple[str, ...]:
    """Return why each program does not run; empty if it does, or if none can be run."""
    from selfmoe import sandbox

    if sandbox.best_tier() is None:
        warnings.warn("no sandbox: MBPP's solutions become seeds without being run", stacklevel=2)
        return ("",) * len(programs)
    verdicts: list[Any] = sandbox.run_many(programs)
    for verdict in verdicts:
        if verdict.status == "infra_error":
            raise StageError(
                f"the sandbox failed on a seed: {verdict.detail}\n"
                "  Free memory or processes, then run the same command again."
            )
    return tuple("" if v.status == "passed" else f"{v.status}: {v.detail}" for v in verdicts)


def _warn(refused: Mapping[str, str]) -> None:
    listed = "".join(f"\n  {name}: {why}" for name, why in sorted(refused.items()))
    warnings.warn(f"problems of MBPP that are no seeds:{listed}", stacklevel=3)
