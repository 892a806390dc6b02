"""What ``selfmoe doctor`` looks at: every check says what it found and what to do about it.

A *problem* makes ``selfmoe run`` impossible; a *note* makes it slower or leaves something out.
No check raises, and none waits long for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from selfmoe.cli.doctor import libraries, machine, surroundings
from selfmoe.cli.findings import Finding

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    machine.python,
    libraries.libraries,
    machine.devices,
    machine.operator,
    machine.memory,
    machine.disk,
    surroundings.sandbox,
    surroundings.hub,
    surroundings.gguf,
    surroundings.plugins,
)
"""All checks, in the order of the table."""


def examine() -> Iterator[Finding]:
    """Yield what all checks found, one by one; a check that breaks is a note of its own."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:  # drivers and libraries raise what they like
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(check.__name__, f"could not be checked: {reason}", "note")
