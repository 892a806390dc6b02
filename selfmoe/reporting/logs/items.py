"""What a log of samples says of an item, and of a task, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["lm-eval", "selfmoe"]
"""Who wrote a log."""


@dataclass(frozen=True)
class Item:
    """One item of a task.

    Attributes:
        prompt: What tells its prompt from others: its text, or a hash of it.
        target: The same of the right answer.
        shots: Solved examples that were asked for, where the item says so.
        values: What it scored, by metric; numbers, where the metric is one of single items.
    """

    prompt: str
    target: str
    shots: int | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskLog:
    """What a model was asked of one task.

    Attributes:
        name: The task's name.
        path: The file.
        kind: Who wrote it.
        items: By what is the same in every log of the task.
        shots: Solved examples, where the log says so.
        lower: Metrics of which less is better.
    """

    name: str
    path: Path
    kind: Kind
    items: Mapping[str, Item]
    shots: int | None = None
    lower: frozenset[str] = frozenset()
