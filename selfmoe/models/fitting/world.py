"""All processes of a run, started by torchrun, and how they speak to each other.

There is one kind of message, in which all take part: each says where it is, what it has to tell,
and what has gone wrong there. So who cannot go on says so in the place of what the others wait for,
and who is elsewhere is found out instead of waited for. Tensors go round behind a message only.
A process that ends has its connections closed, which ends the others' waiting at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from selfmoe.contracts.errors import RunError, SelfmoeError, StageError
from selfmoe.models.launched import number_of_processes, own_rank

T = TypeVar("T")

MEETING = timedelta(minutes=10)
"""Until when all processes must have started."""
ALONE = timedelta(hours=2)
"""Longest that one process may be busy with something while others wait for it in a fit."""
ORDERS = timedelta(days=7)
"""Longest that the others wait for the first process to have something to fit."""


class Attempt(NamedTuple, Generic[T]):
    """What came of some work: a value, or what has gone wrong, in words."""

    value: T | None
    problem: str | None


class World:
    """This process among all; made by ``world``.

    Attributes:
        rank: Its number, from 0.
        size: How many there are.
        open: Whether all of them are at one task.
        lost: Whether one of them is gone.
    """

    def __init__(self, rank: int, size: int) -> None:
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        self.rank, self.size, self._dist = rank, size, dist
        self.open = self.lost = False
        cards = _own_card()
        with self._named():
            met, _, _ = next(rendezvous("env://", timeout=MEETING))
            dist.init_process_group("gloo", store=met, rank=rank, world_size=size, timeout=ALONE)
            self._orders = dist.new_group(backend="gloo", timeout=ORDERS)
            # over gloo tensors go by way of the processor
            self._cards = dist.new_group(backend="nccl", timeout=ALONE) if cards else None

    def exchange(
        self, place: str, value: Any = None, *, problem: str | None = None, idle: bool = False
    ) -> list[Any]:
        """Tell the others something; return what all of them tell, by rank.

        Args:
            place: Where this process is in its work.
            value: What it tells.
            problem: Why it cannot go on, if it cannot.
            idle: Whether it may take long until all of them are there.

        Raises:
            StageError: If one of them cannot go on; in all of them.
            RunError: If one is gone, or somewhere else.
        """
        told: list[Any] = [None] * self.size
        with self._named():
            group = self._orders if idle else None
            self._dist.all_gather_object(told, (place, value, problem), group)
        problems = [(rank, problem) for rank, (_, _, problem) in enumerate(told) if problem]
        if problems:
            self.open = False  # all of them have heard it
            raise StageError(self._said(problems))
        places = [place for place, _, _ in told]
        if len(set(places)) > 1:
            self.open = False
            where = "; ".join(f"{rank}: {place}" for rank, place in enumerate(places))
            raise RunError(
                f"the processes of this run do different things ({where})\n  Start all of them "
                "with the same command, on the same code and the same files."
            )
        return [value for _, value, _ in told]

    def attempt(self, work: Callable[[], T]) -> Attempt[T]:
        """Return what some work comes to; what goes wrong is to be told to the others."""
        try:
            return Attempt(work(), None)
        except SelfmoeError as error:
            return Attempt(None, str(error))
        except Exception as error:
            return Attempt(None, f"{type(error).__name__}: {error}")

    def hand_out(self, value: T | None) -> T:
        """Return what the first process hands out; the others give nothing."""
        box: list[Any] = [value]
        with self._named():
            self._dist.broadcast_object_list(box, src=0)
        found: T = box[0]
        return found

    def align(self, tensors: Sequence[Tensor]) -> None:
        """Let tensors of any shape be in all processes what they are in the first."""
        with self._named():
            for tensor, there in zip(tensors, self._placed(tensors), strict=True):
                self._dist.broadcast(there, src=0, group=self._group(there))
                tensor.copy_(there)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Let each tensor, of any shape, be in all processes the sum of what it is in each."""
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            some = [tensor for tensor in tensors if tensor.dtype == dtype]
            (flat,) = self._placed([torch.cat([tensor.flatten() for tensor in some])])
            with self._named():
                self._dist.all_reduce(flat, group=self._group(flat))
            parts = torch.split(flat, [tensor.numel() for tensor in some])
            for tensor, part in zip(some, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def _placed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return tensors where they can be sent from."""
        return [one.contiguous() if self._cards and one.is_cuda else one.cpu() for one in tensors]

    def _group(self, tensor: Tensor) -> Any:
        return self._cards if tensor.is_cuda else None

    def _said(self, problems: Sequence[tuple[int, str]]) -> str:
        """Return what has gone wrong; where that is the same in all processes, as one would."""
        rank, first = problems[0]
        alike = len(problems) == self.size and len({text for _, text in problems}) == 1
        return first if alike else f"process {rank} of {self.size}: {first}"

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say what it means where torch.distributed raises something."""
        try:
            yield
        except (RuntimeError, ValueError) as error:  # DistError and what gloo raises are these
            self.lost, self.open = True, False
            why = str(error).strip().partition("\n")[0]
            raise RunError(
                f"process {self.rank} of {self.size} has lost the others: one has ended, cannot be "
                f"reached, or was not there in time ({why})\n"
                "  The same command goes on from here, with as many processes as you like."
            ) from None


@cache
def world() -> World | None:
    """Return the processes of this run, having waited for all to start; ``None`` for one alone.

    Raises:
        RunError: If they do not find each other.
    """
    size = number_of_processes()
    return World(own_rank(), size) if size > 1 else None


def _own_card() -> bool:
    """Take one of this machine's GPUs; return whether every process has one to itself."""
    import torch.distributed as dist

    local = int(os.environ.get("LOCAL_RANK", "0"))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        torch.cuda.set_device(local % count)
    there = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    return there <= count and dist.is_nccl_available()
