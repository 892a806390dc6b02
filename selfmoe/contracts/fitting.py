"""What fitting is given and returns: options, batches, penalties, reports, the loop's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from selfmoe.contracts.component import ComponentConfig
from selfmoe.contracts.records import Example, LoadedBase

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[int, int, str], None]
"""Is told how far long work is: steps done, all steps, a few words."""

IGNORE = -100
"""Label of tokens that carry no loss: prompts and padding."""


class FitConfig(ComponentConfig):
    """Options of everything that is fitted; trainers and routers inherit them."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    epochs: int = Field(3, ge=1, description="Passes over the data.")
    batch_size: int = Field(32, ge=1, description="Examples an optimizer step.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Examples a forward pass; smaller needs less memory. Default: as many as have "
        "2048 tokens on CPUs, 16384 elsewhere; all where there is a penalty.",
    )
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps at the most.")
    warmup: float = Field(0.03, ge=0, le=1, description="Share of the steps the rate rises over.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of AdamW.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm of a step.")
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, more time."
    )


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded on the right; all tensors have shape ``(batch, time)``.

    Attributes:
        input_ids: Prompt, response and what ends it.
        attention_mask: 1 on real tokens.
        labels: The token itself where it is part of a response, else ``IGNORE``.
        prompt_mask: True on prompt tokens.
        domains: Domain label of each row.
        rows: Place of each row's example among those that are fitted to; where a batch is read by
            itself, empty.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    prompt_mask: Tensor
    domains: tuple[str, ...]
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class FitReport:
    """What a fit did: the loss of every step, the steps, tokens seen (padding excluded)."""

    losses: list[float] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0

    def summary(self) -> dict[str, float]:
        """Return what the report of a composition says of a fit; there must be a step."""
        return {
            "first_loss": self.losses[0],
            "last_loss": self.losses[-1],
            "steps": float(self.steps),
            "tokens": float(self.tokens),
        }


class Penalty(Protocol):
    """What is added to the loss besides that of the responses; steps may come in parts."""

    def begin(self, batches: Sequence[Batch]) -> None:
        """Be told the parts of a step before the first of them is read."""

    def forward(self, batch: Batch) -> Tensor:
        """Read a part; return logits, shape ``(batch, time, vocabulary)``, or a sum of losses.

        As a ``forward`` of ``Fitting`` does.
        """

    def __call__(self, batch: Batch) -> Tensor:
        """Return the penalty of the part read last, times the number of its response tokens.

        Its sum over the parts is that of the step read at once.
        """


@dataclass(frozen=True)
class FitOne:
    """One of several things that are fitted in one pass.

    Attributes:
        parameters: What to optimise, by name.
        examples: What to fit to; the order of use depends on ``seed`` only.
        config: Learning rate, epochs and so on; each can have its own.
        seed: Decides the order of the examples.
        label: What is fitted, for messages.
    """

    parameters: Mapping[str, nn.Parameter]
    examples: Sequence[Example]
    config: FitConfig
    seed: int
    label: str


class LossOfEach(Protocol):
    """Reads a batch in which several fits have rows."""

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the sum of the losses of each fit's response tokens, scalars by name.

        Args:
            batch: ``domains`` holds the names; the rows of a name lie beside each other.
        """


class Fitting(Protocol):
    """The training loop, as trainers and composers are given it.

    Attributes:
        progress: Told ``(step, steps, text)``; for long work of another kind than fitting.
    """

    progress: Progress

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
        on_policy: Callable[[int, Sequence[int]], Sequence[Example]] | None = None,
    ) -> FitReport:
        """Fit ``parameters`` in place and return what happened.

        Args:
            model: Called as ``model(input_ids=…, attention_mask=…)`` unless ``forward`` is given.
            parameters: What to optimise, by name; nothing else may require a gradient.
            examples: What to fit to, in any order; the order of use depends on ``seed`` only.
            base: Whose tokenizer and context length apply.
            config: Learning rate, epochs and so on.
            seed: Decides the order of the examples and any dropout.
            work: Folder for checkpoints.
            label: What is fitted, for messages.
            forward: Returns the logits of a batch, shape ``(batch, time, vocabulary)``, or, as
                a scalar, the sum of the losses of its response tokens, as ``ResponseLoss`` of the
                routers' kit does. A step may be read in parts; where ``forward`` has an attribute
                ``apart`` that is true, the rows of a part begin with the same words.
            rates: Peak learning rates of parameters that have one of their own, by name.
            penalty: Is added to the loss, and reads batches in the place of ``forward``.
                What is reported is the loss without it.
            on_policy: Is told the number of a step, from 0, and the places of its examples, and
                returns what is trained on instead of each, in that order. Equal parameters must
                give equal examples, or a fit that was killed would not go on with the same bits.

        Returns:
            The loss of every step, also of those before a kill.

        Raises:
            StageError: If there are no examples, one is longer than the context, or a loss is not
                finite.
            DataError: If an example holds a token that the base has no row for.
        """

    def together(
        self, fits: Mapping[str, FitOne], base: LoadedBase, forward: LossOfEach, *, work: Path
    ) -> Mapping[str, FitReport]:
        """Fit several things in place, in one pass over one model; none may change another's loss.

        Each has its own losses, clipping, schedule and AdamW, and takes the steps that it would
        take by itself, in the same order; results are the same up to rounding. A batch mixes
        examples of all. Gradient checkpointing is on if one of them asks for it, and
        ``micro_batch_size`` is the smallest that one of them gives.

        Args:
            fits: What is fitted, by name.
            base: Whose tokenizer and context length apply.
            forward: Returns the losses of a batch. As of ``__call__``, where it has an attribute
                ``apart`` that is true, the rows of a part begin with the same words.
            work: Folder for checkpoints, of all together; of the same fits in every attempt.

        Returns:
            The reports by name; without those whose loss became no finite number, which stop alone.

        Raises:
            StageError: If one has no examples, or examples longer than the context.
            DataError: If an example holds a token that the base has no row for.
        """
