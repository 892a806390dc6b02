"""Reading a batch for the loss on its responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfmoe.contracts.fitting import IGNORE, Batch
from selfmoe.models.fitting.beginnings import WORTH, beginning, can_read_apart, read_apart
from selfmoe.models.fitting.checkpointing import recomputes
from selfmoe.models.fitting.chunks import Head, chunked_loss
from selfmoe.models.fitting.tail import tail_of
from selfmoe.models.tokens import rows_of


def summed_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the sum of the losses of a batch's response tokens as a scalar.

    Args:
        logits: Shape ``(batch, time, vocabulary)``.
        batch: What they were made of.
    """
    learned, targets = _learned(batch)
    return cross_entropy(logits[:, :-1][learned].float(), targets, reduction="sum")


class Responses:
    """Reads batches and returns what the output head reads before each of their response tokens.

    What all prompts of a batch begin with is read once for all of them. Where a model does not
    allow it, all of every row is read; where what is behind its decoder blocks cannot be had apart,
    the states are the logits themselves, and the head hands them on.

    Args:
        model: A causal language model of transformers, or PEFT's around one.
        blocks: Name of its list of decoder blocks, where that cannot be told from its structure.
        run: Runs the model on a batch, given further arguments of its forward by name, and returns
            its output as it is; default: as ``model(input_ids=…, attention_mask=…)``.
        apart: Whether what the model makes of a token depends on it and those before it in its row
            alone, so that the beginning may be read apart.
        each: Whether it depends on the domain of its row, too.

    Attributes:
        apart: Whether beginnings are read apart.
        head: Makes logits of the states.
    """

    head: Head

    def __init__(
        self,
        model: nn.Module,
        blocks: str | None = None,
        run: Callable[..., Any] | None = None,
        *,
        apart: bool = True,
        each: bool = False,
    ) -> None:
        self._inner: Any = getattr(model, "get_base_model", lambda: model)()
        self._run, self._tail = run or partial(_run, model), tail_of(self._inner, blocks)
        self.head = self._tail or Logits(rows_of(self._inner) or 1)
        self._each = each
        self.apart = apart and self._tail is not None and can_read_apart(self._states, self._inner)

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the states, shape ``(tokens, width)``, and the tokens, row by row."""
        rest, states = self._read(batch)
        learned, targets = _learned(rest)
        return states[:, :-1][learned], targets

    def _read(self, batch: Batch) -> tuple[Batch, Tensor]:
        """Return a batch, or all of it but its beginning, and the final states."""
        if self.apart and not recomputes(self._inner):
            size = beginning(batch)
            if size >= WORTH:
                return read_apart(self._states, batch, size, self._inner, each=self._each)
        return batch, self._states(batch, {"use_cache": False})

    def _states(self, batch: Batch, options: Mapping[str, Any]) -> Tensor:
        if self._tail is None:
            logits: Tensor = self._run(batch).logits
            return logits
        return self._tail.states(partial(self._run, batch, **options))


class LossOfEachDomain(Responses):
    """Reads batches and returns the sums of the losses of their response tokens by domain.

    For the arguments see ``Responses``.
    """

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sums for a batch, scalars; the rows of a domain lie beside each other."""
        states, targets = self.read(batch)
        sizes: dict[str, int] = {}
        labelled = (batch.labels[:, 1:] != IGNORE).sum(1).tolist()
        for domain, count in zip(batch.domains, labelled, strict=True):
            sizes[domain] = sizes.get(domain, 0) + count
        counts = list(sizes.values())
        parts = zip(torch.split(states, counts), torch.split(targets, counts), strict=True)
        return {
            domain: chunked_loss(self.head, *part)
            for domain, part in zip(sizes, parts, strict=True)
        }


class ResponseLoss(Responses):
    """Reads batches and returns the sum of the losses of their response tokens.

    Other tokens have no logits computed, and those of responses are there a few at a time. For the
    arguments see ``Responses``.
    """

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum for a batch as a scalar."""
        return chunked_loss(self.head, *self.read(batch))


class Logits:
    """A head for states that are logits.

    Args:
        vocabulary: How many logits a token has, about.
    """

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.parameters: list[nn.Parameter] = []

    def __call__(self, states: Tensor) -> Tensor:
        """Return the logits, shape ``(tokens, vocabulary)``."""
        return states


def _run(model: nn.Module, batch: Batch, **options: Any) -> Any:
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **options)


def _learned(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return which tokens have a response token behind them, ``(batch, time - 1)``, and these."""
    targets = batch.labels[:, 1:]
    learned = targets != IGNORE
    return learned, targets[learned]
