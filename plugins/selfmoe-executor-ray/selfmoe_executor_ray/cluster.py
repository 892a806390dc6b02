"""Workers of a Ray cluster: actors, each of which keeps what it has loaded for its next unit."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from selfmoe.contracts import Ended, StageError, Unit, Workers

STORE_BYTES = 128 * 2**20
"""Of Ray's object store, where the run starts Ray: orders and reports are small."""


class Resources(NamedTuple):
    """What a worker gets of the cluster.

    Attributes:
        num_cpus: Processor cores.
        num_gpus: GPUs, or a share of one.
        memory: Bytes of memory; ``None`` where it is not counted.
    """

    num_cpus: float
    num_gpus: float
    memory: int | None


class Cluster(Workers):
    """Actors with the resources that stages need; one that is idle works for any stage like that.

    Args:
        options: Those of the executor.
        work: Does the order of a unit.
        environment: Variables that actors have.

    Raises:
        StageError: If there is no such cluster.
    """

    def __init__(
        self, options: Any, work: Callable[[Any], Any], environment: Mapping[str, str]
    ) -> None:
        self._options, self._work = options, work
        self._environment = dict(environment)
        self._idle: list[tuple[Resources, Any]] = []
        self._busy: dict[Any, tuple[Unit, Resources, Any]] = {}
        self._owns = _connect(options)
        self.size = options.workers or _room(self._resources(""))

    def start(self, unit: Unit) -> None:
        """Let an actor do a unit, one that has done others if possible."""
        needed = self._resources(unit.stage)
        known = next((one for one in self._idle if one[0] == needed), None)
        if known is not None:
            self._idle.remove(known)
        elif self._idle and len(self._idle) + len(self._busy) >= self.size:
            ray.kill(self._idle.pop(0)[1])  # what it holds is needed
        actor = known[1] if known else self._new(needed)
        self._busy[actor.do.remote(unit.order)] = unit, needed, actor

    def wait(self, seconds: float) -> Ended | None:
        """Return a unit that has ended; ``None`` if none does in time."""
        done, _ = ray.wait(list(self._busy), num_returns=1, timeout=seconds)
        if not done:
            return None
        unit, resources, actor = self._busy.pop(done[0])
        try:
            ended = Ended(unit, ray.get(done[0]))
        except RayTaskError as error:
            what = f"{type(error.cause).__name__}: {error.cause}"
            ended = Ended(unit, lost=f"its worker could not do it: {what}")
        except RayActorError as error:
            return Ended(unit, lost=f"its worker died: {_first_line(error)}")
        except RayError as error:
            ray.kill(actor)
            return Ended(unit, lost=f"Ray lost it: {_first_line(error)}")
        self._idle.append((resources, actor))
        return ended

    def close(self) -> None:
        """End all actors, and Ray if the run started it."""
        for actor in [*(one for _, one in self._idle), *(one for *_, one in self._busy.values())]:
            ray.kill(actor)
        self._idle.clear()
        self._busy.clear()
        if self._owns:
            ray.shutdown()

    def _resources(self, stage: str) -> Resources:
        """Return what units of a stage need."""
        own = self._options.stages.get(stage)
        values = {name: getattr(self._options, name) for name in Resources._fields}
        if own is not None:
            given = {name: getattr(own, name) for name in Resources._fields}
            values |= {name: value for name, value in given.items() if value is not None}
        return Resources(**values)

    def _new(self, needed: Resources) -> Any:
        return (
            _actor(self._work)
            .options(
                **needed._asdict(),
                max_restarts=0,
                max_task_retries=0,
                runtime_env={"env_vars": self._environment},
            )
            .remote()
        )


def _connect(options: Any) -> bool:
    """Join the cluster, or start a Ray that this machine alone can reach; return whether it was.

    Raises:
        StageError: If there is no such cluster.
    """
    if ray.is_initialized():
        return False
    with _own_handler():
        _init(options)
    return True


@contextmanager
def _own_handler() -> Iterator[None]:
    """Let what a run does when it is told to end be as it was: Ray puts its own in its place."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _init(options: Any) -> None:
    """Join the cluster, or start a Ray that this machine alone can reach.

    Raises:
        StageError: If there is no such cluster.
    """
    quiet = {"logging_level": logging.ERROR, "include_dashboard": False}
    try:
        if options.address is not None:
            ray.init(address=options.address, logging_level=logging.ERROR)
        else:
            ray.init(
                address="local",
                num_cpus=_cores(options),
                object_store_memory=STORE_BYTES,
                **quiet,
            )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        where = options.address or "this machine"
        raise StageError(
            f"no Ray at {where}: {_first_line(error)}\n"
            "  Start one (ray start --head), or leave out the option address."
        ) from None


def _cores(options: Any) -> int | None:
    """Return how many cores a Ray of the run's own has: enough for all workers, where asked for."""
    if options.workers is None:
        return None
    workers: int = options.workers
    most: float = max([options.num_cpus, *(one.num_cpus or 0 for one in options.stages.values())])
    return max(1, math.ceil(workers * most))


def _room(needed: Resources) -> int:
    """Return how many workers the cluster has resources for, at least one."""
    there = ray.cluster_resources()
    asked = {"CPU": needed.num_cpus, "GPU": needed.num_gpus, "memory": needed.memory or 0}
    return max(1, min(int(there.get(name, 0) // much) for name, much in asked.items() if much))


def _actor(work: Callable[[Any], Any]) -> Any:
    """Return the class of actors that do some work."""

    class Worker:
        def do(self, order: Any) -> Any:
            return work(order)

    return ray.remote(Worker)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
