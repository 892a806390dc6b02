"""One thing that is fitted: which examples it learns from in which step, and how fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import FitConfig, FitReport
from selfmoe.contracts.randomness import derive, permutation
from selfmoe.contracts.records import Example, LoadedBase
from selfmoe.models.fitting.batches import Encoded, encode_all

Groups = list[dict[str, Any]]


class FitJob:
    """One thing that is fitted.

    Args:
        parameters: What learns, by name.
        examples: What from; not empty.
        base: Whose tokens.
        config: How.
        seed: Decides the order of the examples.
        label: What is fitted, for messages.

    Attributes:
        steps: How many optimizer steps there are.
        losses: The loss of each that was taken.
        tokens: How many tokens were read.

    Raises:
        StageError: If there are no examples, or some are too long.
        DataError: If one holds a token that the base has no row for.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        examples: Sequence[Example],
        base: LoadedBase,
        config: FitConfig,
        seed: int,
        label: str,
    ) -> None:
        if not examples:
            raise StageError(f"{label}: there are no examples to train on")
        self.parameters, self.config = dict(parameters), config
        self.seed, self.label = seed, label
        self.rows = encode_all(examples, base, label)
        self.per_epoch = math.ceil(len(self.rows) / config.batch_size)
        self.steps = min(self.per_epoch * config.epochs, config.max_steps or 2**62)
        self.losses: list[float] = []
        self.tokens = 0

    def groups(self, rates: Mapping[str, float] | None = None) -> Groups:
        """Return the parameters by their peak learning rate, as optimizers take them.

        Args:
            rates: Peaks of parameters that have one of their own, by name.
        """
        found: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            found.setdefault((rates or {}).get(name, self.config.lr), []).append(parameter)
        decay = self.config.weight_decay
        return [
            {"params": group, "lr": peak, "peak": peak, "weight_decay": decay}
            for peak, group in found.items()
        ]

    def places(self, step: int) -> Sequence[int]:
        """Return the places of a step's examples."""
        epoch, index = divmod(step, self.per_epoch)
        order = permutation(len(self.rows), derive(self.seed, "epoch", epoch))
        size = self.config.batch_size
        return order[index * size : (index + 1) * size]

    def rows_of(self, step: int) -> list[Encoded]:
        """Return a step's examples."""
        return [self.rows[place] for place in self.places(step)]

    def prepare(self, step: int, loss: float, groups: Iterable[dict[str, Any]]) -> None:
        """Clip the gradients of a step and set its learning rate.

        Args:
            step: Its number, from 0.
            loss: Its loss.
            groups: Those of the optimizer that are this fit's.

        Raises:
            StageError: If loss or gradients are no finite numbers.
        """
        for group in groups:
            group["lr"] = group["peak"] * _rate(self.config, step, self.steps)
        norm = nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.clip)
        if not (math.isfinite(loss) and math.isfinite(norm.item())):
            raise StageError(
                f"{self.label}: loss {loss} with gradient norm {norm.item()} in step {step + 1} of "
                f"{self.steps}; nothing of this step was saved. Lower lr ({self.config.lr})."
            )

    def record(self, loss: float, rows: Iterable[Encoded]) -> None:
        """Write down a step that was taken."""
        self.losses.append(loss)
        self.tokens += sum(len(row.ids) for row in rows)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint is to know."""
        return {"losses": list(self.losses), "tokens": self.tokens}

    def go_on(self, facts: Mapping[str, Any]) -> None:
        """Take what a checkpoint knew."""
        self.losses, self.tokens = list(facts["losses"]), facts["tokens"]

    @property
    def report(self) -> FitReport:
        """Return what has been done."""
        return FitReport(self.losses, self.steps, self.tokens)


def labelled(rows: Iterable[Encoded]) -> int:
    """Return how many tokens of examples carry a loss."""
    return sum(len(row.ids) - row.prompt for row in rows)


def adamw(groups: Groups) -> torch.optim.AdamW:
    """Return the optimizer of all fits."""
    return torch.optim.AdamW(groups)


def _rate(config: FitConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step as a share of the peak, in 0..1."""
    warm = math.ceil(config.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if config.schedule == "constant":
        return 1.0
    left = (steps - step) / max(1, steps - warm)
    return left if config.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
