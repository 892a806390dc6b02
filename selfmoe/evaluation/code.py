"""Deciding whether generated code passes its tests, in the sandbox and nowhere else."""

from __future__ import annotations

from contextvars import ContextVar

from selfmoe.errors import StageError

_TRIES = 3
_unsafe: ContextVar[bool] = ContextVar("unsafe", default=False)


def allow_unsafe(allowed: bool) -> None:
    """Say whether programs may run in this thread where no sandbox holds (``--unsafe-code``)."""
    _unsafe.set(allowed)


def passes(program: str, timeout_s: float = 5.0) -> bool:
    """Return whether a program runs to its end, hidden tests included.

    Args:
        program: Generated code followed by ``assert`` statements.
        timeout_s: Wall-clock limit; a program that exceeds it does not pass.

    Raises:
        StageError: If the sandbox itself keeps failing, which says nothing about the program.
    """
    from selfmoe import sandbox

    for _ in range(_TRIES):
        verdict = sandbox.run(program, timeout_s, unsafe=_unsafe.get())
        if verdict.status != "infra_error":
            return bool(verdict.status == "passed")
    raise StageError(
        f"the sandbox failed {_TRIES} times in a row: {verdict.detail}\n"
        "  No score is counted. Free memory or processes, then run the same command again."
    )
