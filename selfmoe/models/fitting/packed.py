"""Several fits in one pass over one model: each batch mixes their examples, each learns its own.

They meet in nothing but the model's frozen weights: every one has its own losses, its own clipping,
its own schedule and its own steps, in the order it would take by itself. What they share is a
forward and a backward pass, an optimizer that keeps their moments apart, and the checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import FitReport, LossOfEach, Progress
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.fitting.batches import Encoded, collate, parts_of
from selfmoe.models.fitting.checkpoints import Checkpoints
from selfmoe.models.fitting.job import FitJob, adamw, labelled
from selfmoe.models.structure import states_of
from selfmoe.models.tokens import padding


class Pass:
    """Several fits in one pass.

    Args:
        jobs: The fits by name, at least one.
        base: The base they are on.
        forward: Returns the sum of the losses of each name's rows; batches have the names in the
            place of domains, the rows of a name beside each other.
    """

    def __init__(self, jobs: Mapping[str, FitJob], base: LoadedBase, forward: LossOfEach) -> None:
        self._jobs, self._forward = dict(jobs), forward
        groups = {name: job.groups() for name, job in jobs.items()}
        self._optimizer = adamw([group for some in groups.values() for group in some])
        known = iter(self._optimizer.param_groups)
        self._groups = {name: [next(known) for _ in some] for name, some in groups.items()}
        self._parameters = {
            f"{name}/{inner}": parameter
            for name, job in jobs.items()
            for inner, parameter in job.parameters.items()
        }
        self._pad, self._states = padding(base.tokenizer), states_of(base.model)
        self._device = next(iter(self._parameters.values())).device
        sizes = [job.config.micro_batch_size for job in jobs.values()]
        self._size = min((size for size in sizes if size is not None), default=None)
        self._lost: set[str] = set()

    def run(self, work: Path, progress: Progress, save_seconds: float) -> dict[str, FitReport]:
        """Return the reports of those that could be fitted; see ``Fitting.together``.

        Args:
            work: Folder for checkpoints, of all fits together.
            progress: Told ``(step, steps, text)`` after every step.
            save_seconds: Time between checkpoints, in seconds.
        """
        saved, steps = time.monotonic(), max(job.steps for job in self._jobs.values())
        checkpoints = Checkpoints(work, self._parameters, self._optimizer)
        start = self._resume(checkpoints)
        for step in range(start, steps):
            losses = self._step(step)
            if not losses:
                break
            mean = sum(losses.values()) / len(losses)
            progress(step + 1, steps, f"loss {mean:.3f} of {len(losses)}")
            if time.monotonic() - saved > save_seconds:
                checkpoints.save(step + 1, self._facts(step + 1))
                saved = time.monotonic()
        return {name: job.report for name, job in self._jobs.items() if name not in self._lost}

    def _facts(self, step: int) -> dict[str, Any]:
        jobs = {name: job.facts for name, job in self._jobs.items()}
        return {"step": step, "jobs": jobs, "lost": sorted(self._lost)}

    def _resume(self, checkpoints: Checkpoints) -> int:
        """Return how many steps were taken before a kill."""
        if (state := checkpoints.read()) is None:
            return 0
        checkpoints.restore(state)
        for name, job in self._jobs.items():
            job.go_on(state.facts["jobs"][name])
        self._lost = set(state.facts["lost"])
        return int(state.facts["step"])

    def _step(self, step: int) -> dict[str, float]:
        """Take the next step of every fit that has one; return their losses."""
        rows = {
            name: [replace(row, domain=name) for row in job.rows_of(step)]
            for name, job in self._jobs.items()
            if step < job.steps and name not in self._lost
        }
        losses = self._accumulate(rows)
        for name, loss in list(losses.items()):
            job = self._jobs[name]
            try:
                job.prepare(step, loss, self._groups[name])
            except StageError:  # what it would say is said when it is fitted by itself
                self._lost.add(name)
                del losses[name]
                for parameter in job.parameters.values():
                    parameter.grad = None
            else:
                job.record(loss, rows[name])
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return losses

    def _accumulate(self, rows: Mapping[str, list[Encoded]]) -> dict[str, float]:
        """Return the loss of each fit, whose gradients add up."""
        totals = {name: labelled(some) for name, some in rows.items()}
        losses = dict.fromkeys(rows, 0.0)
        alike = bool(getattr(self._forward, "apart", False))
        every = [row for some in rows.values() for row in some]
        for part in parts_of(every, self._size, self._device, alike=alike, states=self._states):
            part.sort(key=lambda row: row.domain)
            read = self._forward(collate(part, self._pad, self._device))
            means = {name: loss / totals[name] for name, loss in read.items()}
            for name, loss in means.items():
                losses[name] += loss.item()
            torch.stack(list(means.values())).sum().backward()  # type: ignore[no-untyped-call]
        return losses
