"""The words that all prompts of a batch begin with, read once for all of them.

What learns changes what a model makes of these words, so nothing of them can be kept for the next
step. But as long as it stays the same they are the same in every row: they are read as a row by
themselves, all rows attend to its keys and values, and the gradients of all rows meet in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import (
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from selfmoe.contracts.fitting import IGNORE, Batch
from selfmoe.models.caches import cache_name

WORTH = 8
"""Shared tokens from which on they are read apart."""
_KEPT = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)  # keys and values, or nothing

States = Callable[[Batch, Mapping[str, Any]], Tensor]
"""Returns the final states of a batch, given further arguments of the forward."""


def beginning(batch: Batch) -> int:
    """Return how many first tokens all prompts of a batch share, at least one of each left over."""
    if len(batch.input_ids) == 1:
        return 0
    same = (batch.input_ids == batch.input_ids[:1]).all(0) & batch.prompt_mask.all(0)
    alike = int(same.long().cumprod(0).sum())
    return min(alike, int(batch.prompt_mask.sum(1).min()) - 1)


def read_apart(
    states: States, batch: Batch, size: int, model: Any, *, each: bool = False
) -> tuple[Batch, Tensor]:
    """Return the rest of a batch and its final states, having read its beginning once.

    Args:
        states: Returns final states, shape ``(batch, time, width)``.
        batch: The batch; the first tokens of all its rows are the same.
        size: How many these are.
        model: The model.
        each: Read it once for each domain, as what the model makes of it differs between these.
    """
    cache, known = _past(model)
    order = list(dict.fromkeys(batch.domains)) if each else []
    states(_first(batch, size, [batch.domains.index(one) for one in order] or [0]), known)
    if each:
        found = [order.index(one) for one in batch.domains]
        cache.batch_select_indices(torch.tensor(found, device=batch.input_ids.device))
    else:
        cache.batch_repeat_interleave(len(batch.input_ids))
    rest = replace(batch, input_ids=batch.input_ids[:, size:], labels=batch.labels[:, size:])
    return rest, states(rest, known)


def can_read_apart(states: States, model: Any) -> bool:
    """Return whether a model's states are the same that way, with their gradients.

    Dropout would leave out other things; what is not a cache of keys and values may not hand on
    gradients.

    Args:
        states: Returns final states, shape ``(batch, time, width)``.
        model: The model.
    """
    if drops(model):
        return False
    batch, size = _trial(model)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            cache, known = _past(model)
            states(_first(batch, size), known)
            if not all(type(layer) in _KEPT for layer in cache.layers):
                return False
            whole = states(batch, {"use_cache": False})
            _, rest = read_apart(states, batch, size, model)
    except Exception:  # models of others may raise anything where they are used unlike as thought
        return False
    near = torch.finfo(whole.dtype).eps ** 0.5 * whole.abs().max()
    apart = (rest - whole[:, size:]).abs().amax(-1) * batch.attention_mask[:, size:]
    return bool(apart.max() <= near)


def drops(model: nn.Module) -> bool:
    """Return whether a model in its present mode leaves anything out at random."""
    for module in model.modules():
        rates = [rate for name, rate in vars(module).items() if "drop" in name]
        rates += [module.p] if isinstance(module, nn.Dropout) else []
        if module.training and any(isinstance(rate, float) and rate > 0 for rate in rates):
            return True
    return False


def _past(model: Any) -> tuple[DynamicCache, dict[str, Any]]:
    """Return an empty cache, and the arguments of forwards that write to it."""
    cache = DynamicCache(config=model.config)
    return cache, {cache_name(model) or "past_key_values": cache, "use_cache": True}


def _first(batch: Batch, size: int, rows: list[int] | None = None) -> Batch:
    """Return the beginning of a batch's first row, or of others."""
    some = rows or [0]
    return Batch(
        batch.input_ids[some, :size],
        batch.attention_mask[some, :size],
        batch.labels[some, :size],
        batch.prompt_mask[some, :size],
        tuple(batch.domains[row] for row in some),
    )


def _trial(model: Any) -> tuple[Batch, int]:
    """Return two short rows, the second one padded, and how many tokens they have in common."""
    draw = torch.Generator().manual_seed(0)
    known = len(model.get_input_embeddings().weight)
    ids = torch.randint(known, (2, 16), generator=draw).to(model.device)
    ids[:, :8] = ids[0, :8]
    mask, labels = torch.ones_like(ids), torch.full_like(ids, IGNORE)
    mask[1, 13:] = 0
    return Batch(ids, mask, labels, torch.ones_like(ids, dtype=torch.bool), ("", "")), 8
