"""Generation through ``generate`` of transformers, one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from selfmoe.models.generation.drawing import next_tokens
from selfmoe.models.generation.records import Row, Sampling
from selfmoe.models.generation.stopping import Stops
from selfmoe.models.tokens import side_by_side


class Static:
    """Batches whose rows stay until the last of them has ended.

    Args:
        model: Anything with transformers' ``generate``.
        pad: A token that pads.
        slots: Most rows at once.
        max_new_tokens: Longest continuation.
        stops: What ends one.
        sampling: How to draw tokens.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        slots: int,
        max_new_tokens: int,
        stops: Stops,
        sampling: Sampling | None,
    ) -> None:
        self._model, self._pad, self._slots, self._new = model, pad, slots, max_new_tokens
        self._stops, self._sampling = stops, sampling

    def run(self, rows: Sequence[Row], tell: Callable[[], None]) -> Iterator[Row]:
        """Yield every row when its batch has ended.

        Args:
            rows: In the order in which they run.
            tell: Is called after every step.
        """
        for first in range(0, len(rows), self._slots):
            batch = rows[first : first + self._slots]
            ids, mask = side_by_side([row.prompt for row in batch], self._pad)
            device = self._model.device
            written = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=self._new,
                do_sample=False,
                pad_token_id=self._pad,
                logits_processor=LogitsProcessorList([_Choice(batch, self._sampling)]),
                stopping_criteria=StoppingCriteriaList(
                    [_Ends(batch, self._stops, self._new, tell)]
                ),
            )
            self._take_down(batch, written[:, ids.shape[1] :].tolist())
            yield from batch

    def _take_down(self, rows: Sequence[Row], written: Sequence[Sequence[int]]) -> None:
        """Read off what a model wrote that asks nobody when to end, as stand-ins do."""
        for row, tokens in zip(rows, written, strict=True):
            for token in () if row.ended else tokens[len(row.new) :]:
                row.new.append(token)
                if self._stops.ended(row.new):
                    break
            row.ended = True


class _Choice(LogitsProcessor):  # type: ignore[misc]
    """Leaves ``generate`` one token to choose for each row."""

    def __init__(self, rows: Sequence[Row], sampling: Sampling | None) -> None:
        self._rows, self._sampling = rows, sampling

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return logits that are finite for one token a row, ``(batch, vocabulary)``."""
        tokens = next_tokens(self._rows, scores, self._sampling)
        alone = torch.full_like(scores, -torch.inf)
        return alone.scatter(-1, tokens[:, None].to(scores.device), 0.0)


class _Ends(StoppingCriteria):  # type: ignore[misc]
    """Takes down what rows write, and ends those that have ended."""

    def __init__(
        self, rows: Sequence[Row], stops: Stops, most: int, tell: Callable[[], None]
    ) -> None:
        self._rows, self._stops, self._most, self._tell = rows, stops, most, tell

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return which rows have ended, shape ``(batch,)``."""
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if not row.ended:
                row.new.append(token)
                row.ended = len(row.new) == self._most or self._stops.ended(row.new)
        self._tell()
        return torch.tensor([row.ended for row in self._rows], device=input_ids.device)
