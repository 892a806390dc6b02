"""What a worker is told, and what it answers: plain data, for processes that only share files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from selfmoe.contracts import errors
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.store.shards import Share


class Order(NamedTuple):
    """One unit of work.

    Attributes:
        versions: Libraries of the run's own process, which the worker must have, too.
        threads: How many threads torch computes with there; another number gives other bits.
        settings: The run's, as JSON.
        root: Root seed of the plan with the task.
        cell: The name of its cell.
        key: The key of that, by which the worker tells that it would do the same.
        share: The shards to fill, if only these.
    """

    versions: Mapping[str, str]
    threads: int
    settings: str
    root: int
    cell: str
    key: str
    share: Share | None = None


class Report(NamedTuple):
    """What came of one.

    Attributes:
        seconds: How long the cell took; ``None`` if it was done already, or failed.
        remarks: What came of it, where that is less than what was planned.
        said: What is to be shown, in order: whether it is a warning, and the words.
        failure: What kind of error it ended with, and the words, if with any.
    """

    seconds: float | None = None
    remarks: Sequence[str] = ()
    said: Sequence[tuple[bool, str]] = ()
    failure: tuple[str, str] | None = None

    @property
    def error(self) -> SelfmoeError | None:
        """Return the error it ended with."""
        if self.failure is None:
            return None
        kind, text = self.failure
        error: SelfmoeError = getattr(errors, kind)(text)
        return error


def failure_of(error: SelfmoeError) -> tuple[str, str]:
    """Return an error as plain data: of its classes, the one that everybody knows."""
    known = (cls for cls in type(error).__mro__ if getattr(errors, cls.__name__, None) is cls)
    return next(known).__name__, str(error)


def plain(record: Order | Report) -> dict[str, Any]:
    """Return a record as what any version of selfmoe can take in."""
    return record._asdict()
