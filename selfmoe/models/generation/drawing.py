"""Which token comes next: the likeliest, or one drawn by a number of the row's own.

What a row draws depends on its seed and the logits alone, whatever else is in the batch: each row
has one number in 0..1 for each of its tokens, and takes the token in whose part of the distribution
the number falls, tokens lying in the order of their ids (inverse transform sampling).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from selfmoe.contracts.errors import StageError
from selfmoe.models.generation.records import Likely, Row, Sampling

_FEW = 256
"""Tokens among which a nucleus is looked for first."""


def draws(seed: int, tokens: int) -> list[float]:
    """Return what decides the tokens of one row: a number in 0..1 for each."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(tokens, generator=generator, dtype=torch.float64).tolist()


def next_tokens(rows: Sequence[Row], logits: Tensor) -> Tensor:
    """Return the next token of every row; rows keep how near another one came.

    Rows that note how likely their tokens are do so.

    Args:
        rows: The rows of a batch.
        logits: Of their last tokens, shape ``(batch, vocabulary)``.

    Returns:
        Shape ``(batch,)``; means nothing for rows that have ended.

    Raises:
        StageError: If the logits of a row that draws are not numbers.
    """
    numbers = [0.0 if row.draws is None or row.ended else row.draws[len(row.new)] for row in rows]
    aim = torch.tensor(numbers, dtype=torch.float64, device=logits.device)
    tokens, near = _chosen(rows, logits, aim)
    for row, margin in zip(rows, near.tolist(), strict=True):
        if not row.ended:
            if row.sampling is not None and math.isnan(margin):
                raise StageError("no token can be drawn: what the model gives to them is no number")
            row.margin = min(row.margin, margin)
    noting = [n for n, row in enumerate(rows) if row.tops is not None and not row.ended]
    if noting:
        _note([rows[n] for n in noting], logits[noting], tokens[noting])
    return tokens


def _chosen(rows: Sequence[Row], logits: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``choose`` does, for rows of which each may draw in its own way."""
    ways = {row.sampling for row in rows}
    if len(ways) == 1:
        return choose(logits, ways.pop(), aim)
    tokens = torch.zeros(len(rows), dtype=torch.long, device=logits.device)
    near = torch.zeros(len(rows), dtype=torch.float64, device=logits.device)
    for way in ways:
        some = [n for n, row in enumerate(rows) if row.sampling == way]
        found, margins = choose(logits[some], way, aim[some])
        tokens[some], near[some] = found, margins.double()
    return tokens, near


def _note(rows: Sequence[Row], logits: Tensor, tokens: Tensor) -> None:
    """Let rows note how likely their next tokens are."""
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
    best = logprobs.topk(min(max(row.tops or 0 for row in rows), logprobs.shape[-1]))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    for row, logprob, (ids, values) in zip(rows, own, pairs, strict=True):
        tops = tuple(zip(ids[: row.tops], values[: row.tops], strict=True))
        row.likely.append(Likely(logprob, tops))


def choose(logits: Tensor, sampling: Sampling | None, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next token of every row.

    Args:
        logits: Of the last position, shape ``(batch, vocabulary)``.
        sampling: How to draw, or ``None`` to take the likeliest.
        numbers: What decides, in 0..1, shape ``(batch,)``; unused without ``sampling``.

    Returns:
        Tokens, and how near another one came (see ``Continuation.margin``); both ``(batch,)``.
    """
    if sampling is None:
        best = logits.float().topk(min(2, logits.shape[-1])).values
        return logits.argmax(-1), best[:, 0] - best[:, -1]  # of equal ones that of ``generate``
    chances = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p >= 1:
        return _fall(chances, numbers)
    kept, ids, near = _nucleus(chances, sampling.top_p)
    order = ids.argsort(-1)
    place, border = _fall(kept.gather(-1, order), numbers)
    tokens = ids.gather(-1, order).gather(-1, place[:, None])[:, 0]
    return tokens, torch.minimum(near, border)


def _fall(chances: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return in which part each number falls, and how far from the next border, both ``(batch,)``.

    Args:
        chances: Parts, which need not add up to 1, shape ``(batch, parts)``.
        numbers: In 0..1, shape ``(batch,)``.
    """
    ends = chances.double().cumsum(-1)
    whole = ends[:, -1:]
    aim = (numbers.to(ends)[:, None] * whole).minimum(torch.nextafter(whole, 0 * whole))
    place = torch.searchsorted(ends, aim, right=True).clamp_(max=ends.shape[-1] - 1)
    above = ends.gather(-1, place) - aim
    below = aim - (ends.gather(-1, place) - chances.gather(-1, place))
    # At either end of the distribution there is no other token.
    inside = torch.where(place == 0, above, torch.minimum(above, below))
    last = ends.gather(-1, place) >= whole
    near = torch.where(last, torch.where(place == 0, torch.inf, below), inside)
    return place[:, 0], (near / whole)[:, 0]


def _nucleus(chances: Tensor, top_p: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the fewest likeliest tokens that make up ``top_p`` together.

    Returns:
        Their chances and 0 for others, their ids, both of shape ``(batch, some)``, and how near
        another token came to being in or out, shape ``(batch,)``.
    """
    few = min(_FEW, chances.shape[-1])
    best, ids = chances.topk(few)
    sums = best.double().cumsum(-1)
    if few < chances.shape[-1] and bool((sums[:, -1] < top_p).any()):
        best, ids = chances.sort(-1, descending=True)
        sums = best.double().cumsum(-1)
    before = sums - best
    near = (before - top_p).abs().amin(-1)
    return best.where(before < top_p, 0), ids, near
