"""Everything that can go wrong on purpose, and how it is said.

A message answers four questions: what is wrong, where, what is allowed, what to do next.
The command line prints it after ``Error:`` and exits with 1; no traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SelfmoeError(Exception):
    """Any error that selfmoe raises deliberately; its text is written for the user."""


class ConfigError(SelfmoeError):
    """A setting is unknown, of the wrong type, or out of range. Lists all problems at once."""


class PluginError(SelfmoeError):
    """A plugin cannot be loaded, or two plugins claim one name."""


class UnknownNameError(SelfmoeError):
    """A name (domain, router, system…) that nobody provides."""


class DataError(SelfmoeError):
    """Input data is missing or malformed."""


class MissingDataError(DataError):
    """Benchmark files that are not where they are looked for."""


class StageError(SelfmoeError):
    """A pipeline stage cannot go on, for instance because nothing is left after curation."""


class RunError(SelfmoeError):
    """A run directory cannot be used: locked, damaged, or not a run."""


class CompositionError(SelfmoeError):
    """Experts cannot be composed, or a stored composition does not fit what it is loaded onto."""


class NotSupportedError(SelfmoeError):
    """A component does not offer the operation asked for."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to ``name``, else ``""``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a ``kind`` (such as ``"domain"``) whose ``name`` nobody provides."""
    names = sorted(known)
    available = ", ".join(names) if names else "none"
    hint = did_you_mean(name, names) or "."
    return UnknownNameError(f"no {kind} named '{name}'{hint}\n  Available: {available}.")


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 expert``, ``2 experts``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
