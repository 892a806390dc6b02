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

from selfmoe.models.generation.continuous import About, nobody
from selfmoe.models.generation.drawing import next_tokens
from selfmoe.models.generation.records import Row
from selfmoe.models.tokens import side_by_side


class Static:
    """Batches whose rows stay until the last of them has ended.

    Args:
        model: Anything with transformers' ``generate``.
        pad: A token that pads.
        slots: Most rows at once.
        about: Tells whoever listens to the model whose rows a batch has, while it runs.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        slots: int,
        about: About = nobody,
    ) -> None:
        self._model, self._pad, self._slots, self._about = model, pad, slots, about

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
            with self._about(batch, None):
                written = self._model.generate(
                    input_ids=ids.to(device),
                    attention_mask=mask.to(device),
                    max_new_tokens=max(row.most for row in batch),
                    do_sample=False,
                    pad_token_id=self._pad,
                    logits_processor=LogitsProcessorList([_Choice(batch)]),
                    stopping_criteria=StoppingCriteriaList([_Ends(batch, tell)]),
                )
            self._take_down(batch, written[:, ids.shape[1] :].tolist())
            yield from batch

    def _take_down(self, rows: Sequence[Row], written: Sequence[Sequence[int]]) -> None:
        """Read off what a model wrote that asks nobody when to end, as stand-ins do."""
        for row, tokens in zip(rows, written, strict=True):
            for token in () if row.ended else tokens[len(row.new) :]:
                row.new.append(token)
                if row.stops is not None and row.stops.ended(row.new):
                    break
            row.ended = True


class _Choice(LogitsProcessor):  # type: ignore[misc]
    """Leaves ``generate`` one token to choose for each row."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return logits that are finite for one token a row, ``(batch, vocabulary)``."""
        tokens = next_tokens(self._rows, scores)
        alone = torch.full_like(scores, -torch.inf)
        return alone.scatter(-1, tokens[:, None].to(scores.device), 0.0)


class _Ends(StoppingCriteria):  # type: ignore[misc]
    """Takes down what rows write, and ends those that have ended."""

    def __init__(self, rows: Sequence[Row], tell: Callable[[], None]) -> None:
        self._rows, self._tell = rows, tell

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return which rows have ended, shape ``(batch,)``."""
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if not row.ended:
                row.write(token)
        self._tell()
        return torch.tensor([row.ended for row in self._rows], device=input_ids.device)
