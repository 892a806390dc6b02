"""Fitting parameters to examples by the language-model loss on their responses.

The one training loop of selfmoe: experts, routers and instance merging all go through it. A run
that is killed goes on from the last checkpoint and ends with the same bits; a loss that is not a
number stops it before anything is saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from selfmoe.contracts.fitting import (
    Batch,
    FitConfig,
    FitOne,
    FitReport,
    LossOfEach,
    Penalty,
    Progress,
)
from selfmoe.contracts.randomness import derive
from selfmoe.contracts.records import Example, LoadedBase
from selfmoe.models.fitting.batches import Encoded, collate, encode_all, parts_of
from selfmoe.models.fitting.beginnings import drops
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.fitting.checkpoints import Checkpoints
from selfmoe.models.fitting.job import FitJob, adamw, labelled
from selfmoe.models.fitting.packed import Pass
from selfmoe.models.fitting.ranks import Ranks
from selfmoe.models.fitting.reading import ResponseLoss, summed_loss
from selfmoe.models.structure import states_of
from selfmoe.models.tokens import padding

OnPolicy = Callable[[int, Sequence[int]], Sequence[Example]]
"""Returns what is trained on in a step, given its number and the places of its examples."""


class Fit:
    """Fits parameters with AdamW.

    Args:
        progress: Told ``(step, steps, text)`` after every step.
        save_seconds: Time between checkpoints, in seconds; what a kill can cost at the most.
        ranks: The processes that share the examples of a step; default: this one alone.

    Attributes:
        progress: For composers that do long work of another kind than fitting.
        history: Label and report of every fit that was finished, in order.
    """

    def __init__(
        self,
        progress: Progress | None = None,
        save_seconds: float = 20.0,
        ranks: Ranks | None = None,
    ) -> None:
        self.history: list[tuple[str, FitReport]] = []
        self.progress = progress or (lambda step, steps, text: None)
        self._save_seconds, self._ranks = save_seconds, ranks or Ranks()

    def __call__(
        self,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        examples: Sequence[Example],
        base: LoadedBase,
        config: FitConfig,
        *,
        seed: int,
        work: Path,
        label: str,
        forward: Callable[[Batch], Tensor] | None = None,
        rates: Mapping[str, float] | None = None,
        penalty: Penalty | None = None,
        on_policy: OnPolicy | None = None,
    ) -> FitReport:
        """Fit ``parameters`` in place; arguments, their shapes and errors are those of ``Fitting``.

        Raises:
            StageError: If there is nothing to fit to, or it cannot go on.
            DataError: If an example holds a token that the base has no row for.
            RunError: If another process that fits with this one is gone.
        """
        if penalty is not None:
            forward = penalty.forward
        reading = forward or ResponseLoss(model, base.blocks)
        self._ranks.join(label, parameters, _why_whole(model, penalty))
        job = FitJob(parameters, examples, base, config, seed, label)
        loop = _Loop(job, reading, penalty, base, rates or {}, on_policy, self._ranks)
        with checkpointing(base.model, config.gradient_checkpointing, blocks=base.blocks):
            report = loop.run(work, self.progress, self._save_seconds)
        self.history.append((label, report))
        return report

    def together(
        self, fits: Mapping[str, FitOne], base: LoadedBase, forward: LossOfEach, *, work: Path
    ) -> Mapping[str, FitReport]:
        """Fit several things in one pass; arguments, results and errors are those of ``Fitting``.

        Raises:
            StageError: If one of them has nothing to be fitted to.
            DataError: If an example holds a token that the base has no row for.
        """
        jobs = {
            name: FitJob(one.parameters, one.examples, base, one.config, one.seed, one.label)
            for name, one in fits.items()
        }
        saving = any(one.config.gradient_checkpointing for one in fits.values())
        with checkpointing(base.model, saving, blocks=base.blocks):
            reports = Pass(jobs, base, forward).run(work, self.progress, self._save_seconds)
        self.history += [(fits[name].label, report) for name, report in reports.items()]
        return reports


def _why_whole(model: nn.Module, penalty: Penalty | None) -> str | None:
    """Return why the examples of a step cannot be shared by processes, if they cannot."""
    if penalty is not None:
        return "its penalty is about whole steps"
    return "it leaves things out at random" if drops(model) else None


class _Loop:
    """The steps of one fit."""

    def __init__(
        self,
        job: FitJob,
        forward: Callable[[Batch], Tensor],
        penalty: Penalty | None,
        base: LoadedBase,
        rates: Mapping[str, float],
        on_policy: OnPolicy | None,
        ranks: Ranks,
    ) -> None:
        self.job, self.forward, self.penalty = job, forward, penalty
        self.base, self.on_policy, self.ranks = base, on_policy, ranks
        self.pad = padding(base.tokenizer)
        self.device = next(iter(job.parameters.values())).device
        self.states = states_of(base.model)
        self.optimizer = adamw(job.groups(rates))

    def run(self, work: Path, progress: Progress, save_seconds: float) -> FitReport:
        saved, job = time.monotonic(), self.job
        checkpoints = Checkpoints(work, job.parameters, self.optimizer)
        if (state := self.ranks.first(checkpoints.read)) is not None:
            checkpoints.restore(state)
            job.go_on(state.facts)
        for step in range(len(job.losses), job.steps):
            loss = self._step(step)
            progress(step + 1, job.steps, f"loss {loss:.3f}")
            if self.ranks.leads and time.monotonic() - saved > save_seconds:
                checkpoints.save(len(job.losses), job.facts)
                saved = time.monotonic()
        return job.report

    def _step(self, step: int) -> float:
        rows = self._rows_of(step)
        mine, total = self.ranks.share(rows), labelled(rows)
        loss = self.ranks.add(
            lambda: self._accumulate(step, mine, total), self.job.parameters.values()
        )
        self.job.prepare(step, loss, self.optimizer.param_groups)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.job.record(loss, rows)
        return loss

    def _rows_of(self, step: int) -> list[Encoded]:
        if (answer := self.on_policy) is None:
            return self.job.rows_of(step)
        places = self.job.places(step)
        examples = self.ranks.first(lambda: list(answer(step, places)))
        return encode_all(examples, self.base, self.job.label, places)

    def _parts(self, rows: Sequence[Encoded]) -> list[list[Encoded]]:
        size = self.job.config.micro_batch_size
        if size is None and self.penalty is not None:
            size = len(rows)  # several parts would have to be read twice
        alike = bool(getattr(self.forward, "apart", False))
        return parts_of(rows, size, self.device, alike=alike, states=self.states)

    def _accumulate(self, step: int, rows: Sequence[Encoded], total: int) -> float:
        """Return the loss of rows of a step, whose gradients add up; ``total`` labels in it."""
        loss = 0.0
        batches = [collate(part, self.pad, self.device) for part in self._parts(rows)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.job.seed, "step", step, *self.ranks.own))
            if self.penalty is not None:
                self.penalty.begin(batches)
            for batch in batches:
                part = self._loss(batch) / total
                loss += part.item()
                if self.penalty is not None:
                    part = part + self.penalty(batch) / total
                part.backward()  # type: ignore[no-untyped-call]
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        read = self.forward(batch)
        return summed_loss(read, batch) if read.dim() else read
