"""How near the tie is at which two rows part: what had to change for either token to be written.

This is computed from the rule of drawing (`selfmoe.models.generation.drawing`), not with its code:
tokens in the order of their ids share 0..1 by their chances, and the one is taken in whose part the
row's number falls. A nucleus leaves out all but the likeliest tokens before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from selfmoe.models.generation import Sampling


def logit_gap(logits: Tensor, tokens: tuple[int, int]) -> float:
    """Return how much the likelier of two tokens' logits, or a third one's, is above the other's.

    Args:
        logits: Where the rows part, shape ``(vocabulary,)``.
        tokens: What they go on with.
    """
    return float(logits.max() - logits[list(tokens)].min())


def draw_gap(logits: Tensor, tokens: tuple[int, int], sampling: Sampling, number: float) -> float:
    """Return by how much the draw, or the mass of the nucleus, must be off for either token.

    Args:
        logits: Where the rows part, shape ``(vocabulary,)``.
        tokens: What they go on with.
        sampling: How they are drawn.
        number: The draw, in 0..1.

    Returns:
        In 0..1; infinite where a token is out of reach.
    """
    chances = (logits.double() / sampling.temperature).softmax(-1)
    nuclei = list(_nuclei(chances, sampling.top_p))
    return max(
        min(max(off, _distance(kept, token, number)) for kept, off in nuclei) for token in tokens
    )


def _nuclei(chances: Tensor, top_p: float) -> Iterator[tuple[Tensor, float]]:
    """Yield the chances that are drawn from, 0 for others, and how far off ``top_p`` must be.

    The nucleus itself comes first, then the one with a token less, then the one with one more.
    """
    if top_p >= 1:
        yield chances, 0.0
        return
    best, ids = chances.sort(descending=True)
    before = best.cumsum(0) - best
    size = int((before < top_p).sum())
    for some in (size, size - 1, size + 1):
        if 1 <= some <= len(best):
            edge = before[min(some, size)] if some != size else None
            off = 0.0 if edge is None else abs(float(edge) - top_p)
            yield torch.zeros_like(chances).scatter(0, ids[:some], best[:some]), off


def _distance(chances: Tensor, token: int, number: float) -> float:
    """Return how far a number is from the part of a token; infinite where it has none."""
    if not chances[token]:
        return float("inf")
    ends = chances.cumsum(0) / chances.sum()
    low = float(ends[token - 1]) if token else 0.0
    return max(0.0, low - number, number - float(ends[token]))
