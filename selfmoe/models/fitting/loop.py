"""Fitting parameters to examples by the language-model loss on their responses.

The one training loop of selfmoe: experts, routers and instance merging all go through it. A run
that is killed goes on from the last checkpoint and ends with the same bits; a loss that is not a
number stops it before anything is saved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import Batch, FitConfig, FitReport, Penalty, Progress
from selfmoe.contracts.randomness import derive, permutation
from selfmoe.contracts.records import Example, LoadedBase
from selfmoe.models.fitting.batches import Encoded, collate, encode_all, parts_of
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.fitting.checkpoints import Checkpoints
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

    Attributes:
        progress: For composers that do long work of another kind than fitting.
        history: Label and report of every fit that was finished, in order.
    """

    def __init__(self, progress: Progress | None = None, save_seconds: float = 20.0) -> None:
        self.history: list[tuple[str, FitReport]] = []
        self.progress = progress or (lambda step, steps, text: None)
        self._save_seconds = save_seconds

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
        """
        if penalty is not None:
            forward = penalty.forward
        job = _Job(
            forward or ResponseLoss(model, base.blocks),
            penalty,
            parameters,
            examples,
            base,
            config,
            seed,
            label,
            rates or {},
            on_policy,
        )
        with checkpointing(base.model, config.gradient_checkpointing, blocks=base.blocks):
            report = job.run(work, self.progress, self._save_seconds)
        self.history.append((label, report))
        return report


class _Job:
    """One fit: its schedule and its state."""

    def __init__(
        self,
        forward: Callable[[Batch], Tensor],
        penalty: Penalty | None,
        parameters: Mapping[str, nn.Parameter],
        examples: Sequence[Example],
        base: LoadedBase,
        config: FitConfig,
        seed: int,
        label: str,
        rates: Mapping[str, float],
        on_policy: OnPolicy | None,
    ) -> None:
        if not examples:
            raise StageError(f"{label}: there are no examples to train on")
        self.forward, self.penalty = forward, penalty
        self.parameters, self.config = dict(parameters), config
        self.seed, self.label = seed, label
        self.base, self.on_policy = base, on_policy
        self.rows = encode_all(examples, base, label)
        self.pad = padding(base.tokenizer)
        self.device = next(iter(self.parameters.values())).device
        self.states = states_of(base.model)
        self.per_epoch = math.ceil(len(self.rows) / config.batch_size)
        self.steps = min(self.per_epoch * config.epochs, config.max_steps or 2**62)
        self.optimizer = torch.optim.AdamW(
            _groups(self.parameters, config.lr, rates), weight_decay=config.weight_decay
        )
        self.losses: list[float] = []
        self.tokens = 0

    def run(self, work: Path, progress: Progress, save_seconds: float) -> FitReport:
        saved = time.monotonic()
        checkpoints = Checkpoints(work, self.parameters, self.optimizer)
        self.losses, self.tokens = checkpoints.resume()
        for step in range(len(self.losses), self.steps):
            loss = self._step(step)
            progress(step + 1, self.steps, f"loss {loss:.3f}")
            if time.monotonic() - saved > save_seconds:
                checkpoints.save(self.losses, self.tokens)
                saved = time.monotonic()
        return FitReport(self.losses, self.steps, self.tokens)

    def _step(self, step: int) -> float:
        rows = self._rows_of(step)
        batches = [collate(part, self.pad, self.device) for part in self._parts(rows)]
        loss = self._accumulate(step, batches, sum(len(row.ids) - row.prompt for row in rows))
        self._update(step, loss)
        self.tokens += sum(len(row.ids) for row in rows)
        self.losses.append(loss)
        return loss

    def _parts(self, rows: Sequence[Encoded]) -> list[list[Encoded]]:
        size = self.config.micro_batch_size
        if size is None and self.penalty is not None:
            size = len(rows)  # several parts would have to be read twice
        alike = bool(getattr(self.forward, "apart", False))
        return parts_of(rows, size, self.device, alike=alike, states=self.states)

    def _accumulate(self, step: int, batches: Sequence[Batch], total: int) -> float:
        """Return the loss of the parts of a step, whose gradients add up; ``total`` labels."""
        loss = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "step", step))
            if self.penalty is not None:
                self.penalty.begin(batches)
            for batch in batches:
                part = self._loss(batch) / total
                loss += part.item()
                if self.penalty is not None:
                    part = part + self.penalty(batch) / total
                part.backward()  # type: ignore[no-untyped-call]
        return loss

    def _rows_of(self, step: int) -> list[Encoded]:
        epoch, index = divmod(step, self.per_epoch)
        order = permutation(len(self.rows), derive(self.seed, "epoch", epoch))
        size = self.config.batch_size
        places = order[index * size : (index + 1) * size]
        if self.on_policy is None:
            return [self.rows[place] for place in places]
        return encode_all(self.on_policy(step, places), self.base, self.label, places)

    def _loss(self, batch: Batch) -> Tensor:
        read = self.forward(batch)
        return summed_loss(read, batch) if read.dim() else read

    def _update(self, step: int, loss: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * _rate(self.config, step, self.steps)
        norm = nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.clip)
        if not (math.isfinite(loss) and math.isfinite(norm.item())):
            raise StageError(
                f"{self.label}: loss {loss} with gradient norm {norm.item()} in step {step + 1} of "
                f"{self.steps}; nothing of this step was saved. Lower lr ({self.config.lr})."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _rate(config: FitConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step as a share of the peak, in 0..1."""
    warm = math.ceil(config.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if config.schedule == "constant":
        return 1.0
    left = (steps - step) / max(1, steps - warm)
    return left if config.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)


def _groups(
    parameters: Mapping[str, nn.Parameter], lr: float, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the parameters by their peak learning rate, as optimizers take them."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(rates.get(name, lr), []).append(parameter)
    return [{"params": group, "lr": peak, "peak": peak} for peak, group in groups.items()]
