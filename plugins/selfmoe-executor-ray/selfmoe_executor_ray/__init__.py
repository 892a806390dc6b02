"""The work of a run done by the workers of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import Field

from selfmoe.contracts import ComponentConfig as Options
from selfmoe.contracts import Executor, StageError, Workers, hookimpl

SELFMOE_API = 1

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Variables that Ray reads when it is imported: nothing is reported, and no warning of GPUs."""

ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""The same for a Ray of the run's own: it listens on the loopback alone, as Ray does by itself on
Windows and macOS, and its workers are no nicer to others than the run."""


class StageResources(Options):
    """What units of one stage need, where that is not what all need."""

    num_cpus: float | None = Field(None, ge=0, description="Processor cores.")
    num_gpus: float | None = Field(None, ge=0, description="GPUs, or a share of one.")
    memory: int | None = Field(None, gt=0, description="Bytes of memory.")


class Ray(Executor):
    """The workers of a Ray cluster, or of a Ray that is started for the run on this machine."""

    name = "ray"
    reference_url = "https://docs.ray.io/en/latest/ray-core/actors.html"

    class Config(Options):
        """Which cluster, and what a unit of work gets of it."""

        address: str | None = Field(
            None,
            min_length=1,
            description="Address of the cluster, such as auto or 10.0.0.1:6379; default: a Ray of "
            "the run's own, on this machine alone.",
        )
        workers: int | None = Field(
            None,
            ge=1,
            le=10_000,
            description="Units of work done at once; default: as many as there are resources for.",
        )
        num_cpus: float = Field(1, ge=0, description="Processor cores a unit.")
        num_gpus: float = Field(0, ge=0, description="GPUs a unit, or the share of one.")
        memory: int | None = Field(
            None, gt=0, description="Bytes of memory a unit; default: not counted."
        )
        stages: dict[str, StageResources] = Field(
            default_factory=dict, description="Stage -> what its units need instead."
        )

    def open(self, work: Callable[[Any], Any], environment: Mapping[str, str]) -> Workers:
        """Return the workers of the cluster.

        Raises:
            StageError: If there is no such cluster, or Ray is missing.
        """
        if find_spec("ray") is None:
            raise StageError("executor 'ray' needs the package ray: pip install 'selfmoe[ray]'")
        for name, value in (QUIET if self.options.address else QUIET | ALONE).items():
            os.environ.setdefault(name, value)
        from selfmoe_executor_ray.cluster import Cluster

        return Cluster(self.options, work, environment)


@hookimpl
def register_executors() -> Iterable[type[Executor]]:
    """Return the executor."""
    return [Ray]
