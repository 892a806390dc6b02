"""Trading time for memory while a gate learns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from selfmoe.models.structure import find_decoder


@contextmanager
def checkpointing(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Recompute the decoder blocks' activations in the backward passes within.

    Only the blocks themselves are put into training mode, which transformers asks for; what is
    inside them stays as it is, so no dropout sets in.

    Args:
        model: A causal language model of transformers.
        on: Whether to do anything at all.
    """
    if not on:
        yield
        return
    decoder = find_decoder(model)
    modules = [decoder.stack, *decoder.blocks]
    training = [module.training for module in modules]
    _switch(model, "enable", {"use_reentrant": False})
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        _switch(model, "disable")
        for module, before in zip(modules, training, strict=True):
            module.training = before


def _switch(model: Any, what: str, *arguments: Any) -> None:
    with warnings.catch_warnings():
        # transformers 5 renames these methods; the old names work in all versions of it.
        warnings.simplefilter("ignore", FutureWarning)
        getattr(model, f"gradient_checkpointing_{what}")(*arguments)
