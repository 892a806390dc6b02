"""What cells that are still to do will take: from what such cells took, scaled by how much it is.

Small runs measure: their yields, lengths, sandboxes and rates are those of the machine, the base
and the domains at hand. Time, tokens and room grow with the number of texts, items or examples; of
two runs of different size it is also known what a cell takes however small it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import covariance, fmean, variance
from typing import NamedTuple

from selfmoe.contracts.errors import ConfigError
from selfmoe.contracts.names import CellName, EvaluationName
from selfmoe.models.base import BaseFiles
from selfmoe.models.operations import Matrices, matrices_of
from selfmoe.pipeline.task import Task
from selfmoe.store.cell import Cell
from selfmoe.store.costs import Cost, Tokens, costs_of
from selfmoe.store.directory import RunDirectory

_ONE_SIZE = ("specialise", "compose", "cost")
"""Stages whose results are of one size, however much was learnt from."""

_WITHOUT_BASE = ("seeds", "curate")
"""Stages whose work grows though the base computes little or nothing."""


class Forecast(NamedTuple):
    """What a cell is expected to take.

    Attributes:
        tokens: What the base will compute.
        operations: Floating-point operations of that; see ``Matrices.operations``.
        bytes: Room on disk.
        seconds: Time.
    """

    tokens: Tokens
    operations: float
    bytes: float
    seconds: float


@dataclass(frozen=True)
class Rates:
    """What cells took, and the base they took it with.

    Attributes:
        costs: By the name of the cell, at least one each.
        matrices: The base's.
    """

    costs: Mapping[CellName, Sequence[Cost]]
    matrices: Matrices

    @property
    def places(self) -> list[str]:
        """Return where that was computed."""
        return sorted({cost.place for costs in self.costs.values() for cost in costs})

    def forecast(self, tasks: Iterable[Task]) -> dict[Cell, Forecast | None]:
        """Return what each cell that is to do will take; ``None`` where no such cell is known."""
        todo = {task.cell: task for task in tasks if task.problem() is not None}
        return {cell: self._of(task) for cell, task in todo.items()}

    def _of(self, task: Task) -> Forecast | None:
        costs = self._like(task.cell_name)
        if not costs:
            return None
        stage, amount = task.stage, float(task.amount())
        grows = stage in _WITHOUT_BASE or any(any(cost.tokens) for cost in costs)
        amounts = [cost.amount if grows else amount for cost in costs]
        kinds = zip(*(cost.tokens for cost in costs), strict=True)
        tokens = Tokens(*(round(at(amount, amounts, kind)) for kind in kinds))
        room = [cost.bytes for cost in costs]
        return Forecast(
            tokens,
            self.matrices.operations(tokens),
            fmean(room) if stage in _ONE_SIZE else at(amount, amounts, room),
            at(amount, amounts, [cost.seconds for cost in costs]),
        )

    def _like(self, name: CellName) -> list[Cost]:
        """Return what a cell took, or those most like it: of its benchmark, of its stage."""
        if name in self.costs:
            return list(self.costs[name])
        stage = {known: costs for known, costs in self.costs.items() if known.stage == name.stage}
        same = [known for known in stage if _asked(known) == _asked(name) != ""]
        return [cost for known in same or stage for cost in stage[known]]


def at(amount: float, amounts: Sequence[float], values: Sequence[float]) -> float:
    """Return what a value is for an amount, by what it was for others; never negative.

    It is on the straight line through them, as near as can be (least squares), or on the one
    through zero where they are all of one amount, or the line would say that nothing costs less
    than nothing, or more less.
    """
    steep = _slope(amounts, values)
    base = fmean(values) - steep * fmean(amounts)
    if steep > 0 and base >= 0:
        return base + steep * amount
    return amount * sum(values) / sum(amounts)


def _slope(amounts: Sequence[float], values: Sequence[float]) -> float:
    return covariance(amounts, values) / variance(amounts) if len({*amounts}) > 1 else 0.0


def _asked(name: CellName) -> str:
    """Return the benchmark that a cell is about, if it is about one."""
    about = name.stage in ("evaluate", "route")
    return str(EvaluationName.parse(name.label).benchmark) if about else ""


def rates_of(base: BaseFiles, own: Path, others: Iterable[Path] = ()) -> Rates:
    """Return what the finished cells of a run took, and of others with the same base.

    Args:
        base: The base.
        own: The run's folder.
        others: The other runs' folders.

    Raises:
        ConfigError: If one of them is of another base, or holds no cell that says what it took.
        RunError: If it is no finished run.
    """
    costs = costs_of(own)
    for other in others:
        for name, more in _checked(base, other).items():
            costs[name] = [*costs.get(name, []), *more]
    return Rates(costs, matrices_of(base.path))


def _checked(base: BaseFiles, other: Path) -> dict[CellName, list[Cost]]:
    made_with = RunDirectory(other).manifest().base
    if made_with.hash != base.hash:
        raise ConfigError(
            f"--rates {other}: its cells were made with base '{made_with.name}', these are for "
            f"'{base.name}'\n  Give a run of the same base, such as a small one made for that."
        )
    if not (costs := costs_of(other)):
        raise ConfigError(
            f"--rates {other}: none of its cells says what it took in one go\n"
            "  Give a run that was made by this version without being interrupted."
        )
    return costs
