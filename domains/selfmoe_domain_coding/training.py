"""Seeds of the benchmark track: MBPP's training problems in the form of HumanEval."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from selfmoe.contracts import DataError, Rejected, Seed, Source, StageError, normalise
from selfmoe.kits.domains import imported, tidy
from selfmoe_domain_coding.mbpp import Part, rows, some_rows
from selfmoe_domain_coding.normalise import Problem, to_humaneval

if TYPE_CHECKING:
    from selfmoe.kits.domains import Verdict

TASK = "Complete the following Python function."
"""The instruction of every seed, and of HumanEval's items where they are put as instructions."""

_ASKED: tuple[Part, ...] = ("prompt", "test", "validation")


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` training problems with their solutions, in an order that ``rng`` draws.

    A solution is run against its tests in the sandbox before it is used. What cannot be rewritten
    or does not pass is left out, and a warning lists it with the reason; one that takes too long is
    no verdict on it. Without a sandbox nothing is run, and a warning says that. Of problems that
    upstream has twice, with one of the two in a part that is asked or shown, neither is a seed.

    Raises:
        DataError: If the data is missing or malformed, or too few problems are left.
        StageError: If the sandbox itself fails, or a solution takes too long twice.
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
    from selfmoe.kits.domains import best_tier

    if best_tier() is None:
        warnings.warn("no sandbox: MBPP's solutions become seeds without being run", stacklevel=3)
        return {}
    problems = {i: problem for i, problem in made.items() if isinstance(problem, Problem)}
    programs = tuple(
        imported(f"{p.program}\n{p.test}check({p.entry_point})\n") for p in problems.values()
    )
    faults = dict(zip(problems, _faults(programs), strict=True))
    return {i: Rejected(fault) for i, fault in faults.items() if fault}


@cache
def _faults(programs: tuple[str, ...]) -> tuple[str, ...]:
    """Return why each program fails; empty if it passes."""
    verdicts = _verdicts(programs)
    for verdict in verdicts:
        if verdict.status not in ("passed", "failed"):
            raise StageError(
                f"the sandbox failed on a seed: {verdict.status} {verdict.detail}\n"
                "  That says nothing about the seed. Free memory, processors or processes, then "
                "run the same command again."
            )
    return tuple("" if v.status == "passed" else f"{v.status}: {v.detail}" for v in verdicts)


def _verdicts(programs: Sequence[str]) -> list[Verdict]:
    """Return the verdicts on programs; those that took too long were run again, one by one."""
    from selfmoe.kits.domains import run_many

    found: list[Verdict] = run_many(programs)
    slow = [n for n, verdict in enumerate(found) if verdict.status == "timeout"]
    for n, verdict in zip(slow, run_many([programs[n] for n in slow], workers=1), strict=True):
        found[n] = verdict
    return found


def _warn(refused: Mapping[str, str]) -> None:
    listed = "".join(f"\n  {name}: {why}" for name, why in sorted(refused.items()))
    warnings.warn(f"problems of MBPP that are no seeds:{listed}", stacklevel=3)
