"""The processes that fit together, each by its rank: what every one of them does in a step.

A step's loss is a mean over all its response tokens, so its gradient is a sum over its examples:
each process reads some of them, divides by the number of tokens of all, and the sums are added up.
Clipping and the step itself follow from what is added up, and are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from selfmoe.models.fitting.batches import Encoded
from selfmoe.models.fitting.world import World

T = TypeVar("T")


class Ranks:
    """This process alone: it does all there is to do.

    Attributes:
        leads: Whether this process writes checkpoints.
        own: What seeds of what is drawn at random in a step are made with beside the step.
    """

    leads = True
    own: tuple[int, ...] = ()

    def join(self, label: str, parameters: Mapping[str, nn.Parameter], whole: str | None) -> None:
        """Wait for all processes to be at a fit, and let its parameters be the same in all.

        Args:
            label: What is fitted.
            parameters: What learns.
            whole: Why one process has to read all examples of a step, if it has to.
        """

    def first(self, make: Callable[[], T]) -> T:
        """Return what the first process makes."""
        return make()

    def share(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """Return those of the examples of a step that this process reads."""
        return list(rows)

    def add(self, work: Callable[[], float], parameters: Collection[nn.Parameter]) -> float:
        """Return the sum of the losses of all processes; so are the gradients.

        Args:
            work: Computes this one's gradients and returns its loss.
            parameters: What learns.
        """
        return work()


class Several(Ranks):
    """This process and others.

    Args:
        world: All of them.
        come: Called before a fit; lets the others come where they are not here yet.
        tell: Told in words why a fit is not shared.
    """

    def __init__(self, world: World, come: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._world, self._come, self._tell = world, come, tell
        self.leads, self.own = world.rank == 0, (world.rank,) if world.rank else ()
        self._whole, self._fits = False, 0

    def join(self, label: str, parameters: Mapping[str, nn.Parameter], whole: str | None) -> None:
        """See ``Ranks``.

        Raises:
            StageError: If another process could not come.
            RunError: If one is gone, or fits something else.
        """
        self._come()
        self._fits += 1
        self._world.exchange(f"fit {self._fits}, {label}, of {', '.join(parameters)}")
        self._whole = whole is not None
        if whole is not None and self.leads:
            self._tell(f"{label}: one process reads all examples, for {whole}")
        self._world.align([parameter.data for parameter in parameters.values()])

    def first(self, make: Callable[[], T]) -> T:
        """See ``Ranks``.

        Raises:
            StageError: If the first process could not make it.
            RunError: If one is gone.
        """
        made = self._world.attempt(make) if self.leads else None
        self._world.exchange("what the first makes", problem=made.problem if made else None)
        return self._world.hand_out(made.value if made else None)

    def share(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """Return every so manieth of the examples, the longest first: about as many tokens each."""
        if self._whole:
            return list(rows) if self.leads else []
        ordered = sorted(rows, key=lambda row: len(row.ids), reverse=True)
        return ordered[self._world.rank :: self._world.size]

    def add(self, work: Callable[[], float], parameters: Collection[nn.Parameter]) -> float:
        """See ``Ranks``.

        Raises:
            StageError: If the work of one of them fails; in all of them.
            RunError: If one is gone.
        """
        done = self._world.attempt(work)
        held = [parameter.grad is not None for parameter in parameters]
        told = self._world.exchange("step", (done.value, held), problem=done.problem)
        some = [any(row) for row in zip(*(row for _, row in told), strict=True)]
        learnt = [p for p, held in zip(parameters, some, strict=True) if held]
        for parameter in learnt:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._world.add([_gradient(parameter) for parameter in learnt])
        return float(sum(loss for loss, _ in told))


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
