"""Runs model-generated programs, and nothing else in the project does.

    run_sandboxed  one program -> Verdict        which tier, and is there one?   (here)
    probe          canaries: which tiers hold on this machine, and why others do not
    process        one supervised attempt: start signal, wall clock, token, kill
    tiers          what each tier needs: command line, job, limits
    syscalls       the system calls no program may make, as a seccomp filter
    driver         the script inside: shuts the door behind itself, runs the program

Three tiers, best first: ``bubblewrap``, ``namespaces`` (the same walls, built by the driver) and
``landlock`` (no namespaces: file access is refused, nothing is hidden). A program passes only if
it runs to its last line: the driver then writes a one-time token, and an exit code proves nothing.
"""

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from selfmoe.evaluation.sandbox.probe import available_tiers, best_tier, why_not
from selfmoe.evaluation.sandbox.process import Status, Verdict, execute
from selfmoe.evaluation.sandbox.tiers import TIERS, UNSAFE

__all__ = [
    "TIERS",
    "Status",
    "Verdict",
    "available_tiers",
    "best_tier",
    "run_many",
    "run_sandboxed",
]


def run_sandboxed(
    program: str, timeout_s: float = 5.0, *, tier: str | None = None, unsafe: bool = False
) -> Verdict:
    """The verdict on ``program``, run as ``__main__`` where it can reach nothing of this machine.

    The program has this interpreter's standard library, threads, 1 GB of memory and, except in
    tier ``landlock``, a private ``/tmp``. It has no network, processes, environment or packages.
    Answers of models are run by ``selfmoe.evaluation.code.passes``, as an import would run them.

    Args:
        program: Python source that ends by itself, its checks included.
        timeout_s: Wall clock in seconds, counted from the moment the interpreter is ready.
        tier: One of ``TIERS``; by default the best that holds here.
        unsafe: Where no tier holds, run the program all the same, with resource limits only.

    Returns:
        ``passed``, ``failed`` or ``timeout``; ``infra_error`` if the program never started, which
        says nothing about it and must not be counted.

    Raises:
        ValueError: If the tier is unknown, or ``timeout_s`` is not a positive number.
    """
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError(f"timeout_s must be a positive number of seconds, not {timeout_s}")
    allowed = (*TIERS, UNSAFE) if unsafe else TIERS
    if tier is not None and tier not in allowed:
        raise ValueError(f"no sandbox tier {tier!r}; known: {', '.join(allowed)}")
    tier = tier or best_tier() or (UNSAFE if unsafe else None)
    if tier is None:
        return Verdict(
            "infra_error", "none", "no sandbox; `selfmoe.evaluation.sandbox.available_tiers()`"
        )
    if tier != UNSAFE and (reason := why_not(tier)):
        return Verdict("infra_error", tier, f"no sandbox: {reason}")
    return execute(tier, program, timeout_s)


def run_many(
    programs: Iterable[str],
    timeout_s: float = 5.0,
    *,
    workers: int | None = None,
    tier: str | None = None,
    unsafe: bool = False,
) -> list[Verdict]:
    """The verdicts on ``programs``, in their order; see `run_sandboxed`.

    Args:
        programs: Python sources.
        timeout_s: Wall clock in seconds for each program.
        workers: Programs at a time; by default one for each core.
        tier: As for `run_sandboxed`.
        unsafe: As for `run_sandboxed`.
    """
    judge = partial(run_sandboxed, timeout_s=timeout_s, tier=tier, unsafe=unsafe)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            return list(pool.map(judge, programs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
