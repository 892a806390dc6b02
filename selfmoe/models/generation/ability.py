"""Whether rows of a model's batch may come and go: what is asked of it is tried, once a model."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

import torch
from torch import nn

from selfmoe.models.generation.continuous import Continuous
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.slots import slots_for

_NEEDED = {"attention_mask", "position_ids", "logits_to_keep"}
_PROMPTS = ((5, 6, 7, 8, 9, 10), (7, 6, 5), (9, 5, 9, 6, 8))
_CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Largest difference of logits, as a part of the largest one; 5 % where less precise."""
_KNOWN: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
"""What was found of models, and of mixtures on them."""


def comes_and_goes(model: Any) -> bool:
    """Return whether rows of different length run side by side and take turns as they should.

    They do not where the past of a text is more than keys and values, where positions cannot be
    given from outside, or where a router must see a whole prompt in one forward.

    Args:
        model: A causal language model, maybe with a mixture on it.
    """
    if not isinstance(model, nn.Module):
        return False
    mixture = getattr(model, "mixture", None)
    about = model if mixture is None else mixture
    if about not in _KNOWN:
        _KNOWN[about] = _may(model, mixture) and _agrees(model)
    return _KNOWN[about]


def keeps_order(model: Any) -> bool:
    """Return whether a caller has said what each row is, or wants to hear of each.

    Then rows have to stay as they are, all in one batch.
    """
    mixture = getattr(model, "mixture", None)
    if mixture is None:
        return False
    return mixture.running.record is not None or len(mixture.said.domain or ()) > 1


def _may(model: Any, mixture: Any) -> bool:
    config = getattr(model, "config", None)
    if config is None or not _follows(mixture):
        return False
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    takes = inspect.signature(model.forward).parameters.keys() >= _NEEDED
    return takes and "chunked_attention" not in kinds and slots_for(model, 1) is not None


def _follows(mixture: Any) -> bool:
    """Return whether a mixture, if there is one, may read a prompt in parts."""
    if mixture is None or mixture.gate is None:
        return True
    return bool(mixture.gate.causal) and "prompt_mask" not in mixture.needs


def _agrees(model: Any) -> bool:
    """Return whether a few rows of uneven length get the logits that each gets alone."""
    rows = [Row(number, prompt) for number, prompt in enumerate(_PROMPTS)]
    batch = Continuous(model, 0, len(rows), 1)
    batch.admit(batch.begin(rows), len(rows))
    got = batch.logits().float()
    want = torch.cat([_alone(model, row) for row in rows]).float()
    close = _CLOSE.get(model.dtype, 0.05)
    return bool((got - want).abs().max() <= close * want.abs().max())


def _alone(model: Any, row: Row) -> torch.Tensor:
    """Return the logits behind a prompt, without a cache, shape ``(1, vocabulary)``."""
    ids = torch.tensor([row.prompt], device=model.device)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[:, -1]
    return logits
