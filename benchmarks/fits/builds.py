"""Processes that fit, one a build, asked in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from speeds.memory import GIVEN_BACK

Json = dict[str, Any]
_HERE = Path(__file__).parents[1]
_ROOMS = ("", "domains", "routers", "plugins")


class Build:
    """A process that works with the code of one folder; ends with its context.

    Args:
        code: The folder, a checkout of the repository.
        setting: File with what it loads, see ``fits.worker.Worker``.
        threads: Of torch and of what it calls.
        lean: Whether its allocator gives memory back at once, for peaks.
    """

    def __init__(self, code: Path, setting: Path, threads: int, *, lean: bool = False) -> None:
        paths = [*(str(code / room) for room in _ROOMS), str(_HERE)]
        fixed = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        fixed |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fits.worker", str(setting)],
            cwd=code,
            env=os.environ | fixed | (GIVEN_BACK if lean else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, workload: str) -> Json:
        """Return what a workload took.

        Raises:
            RuntimeError: If the process has ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{workload}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{workload}: the process ended with {self._process.wait()}")
        answer: Json = json.loads(line)
        return answer

    def __enter__(self) -> Build:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


Systems = Mapping[str, tuple[Path, str]]
"""What is compared: name -> the folder of its code and its workload."""


def in_turns(systems: Systems, setting: Path, threads: int, rounds: int) -> dict[str, list[Json]]:
    """Return what every system took in each round; a first one is not counted.

    Args:
        systems: What is compared.
        setting: File with what the processes load.
        threads: Of each of them.
        rounds: How many count.
    """
    found: dict[str, list[Json]] = {name: [] for name in systems}
    builds = {name: Build(code, setting, threads) for name, (code, _) in systems.items()}
    try:
        for number in range(rounds + 1):
            for name in list(systems)[:: -1 if number % 2 else 1]:
                found[name].append(builds[name].measure(systems[name][1]))
    finally:
        for build in builds.values():
            build.__exit__(None, None, None)
    return {name: answers[1:] for name, answers in found.items()}


def alone(systems: Systems, setting: Path, threads: int, runs: int) -> dict[str, list[Json]]:
    """Return what every system took in processes of its own, which give memory back at once."""
    found: dict[str, list[Json]] = {name: [] for name in systems}
    for _ in range(runs):
        for name, (code, workload) in systems.items():
            with Build(code, setting, threads, lean=True) as build:
                found[name].append(build.measure(workload))
    return found


def largest_difference(answers: Sequence[Json], others: Sequence[Json]) -> float:
    """Return how far losses are apart at the most, relative to the first ones."""
    pairs = zip(answers[0]["losses"], others[0]["losses"], strict=True)
    return float(max(abs(one - other) / abs(one) for one, other in pairs))
