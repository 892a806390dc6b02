"""Trading time for memory in a fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from selfmoe.models.structure import find_decoder


@contextmanager
def checkpointing(
    model: nn.Module, on: bool = True, *, blocks: str | None = None
) -> Iterator[None]:
    """Recompute the decoder blocks' activations in the backward passes within.

    transformers asks for training mode. Where the model is not in it, only the blocks themselves
    are put into it; what is inside them stays as it is, so no dropout sets in.

    Args:
        model: A causal language model of transformers.
        on: Whether to do anything at all.
        blocks: Name of its list of decoder blocks, where that cannot be told from its structure.
    """
    if not on:
        yield
        return
    modules = [] if model.training else _modules(model, blocks)
    training = [module.training for module in modules]
    hooked = bool(getattr(model, "_require_grads_hooks", None))
    _switch(model, "enable", {"use_reentrant": False})
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        _switch(model, "disable")
        if not hooked:  # with an adapter on it, transformers has put hooks on its embeddings
            model.disable_input_require_grads()  # type: ignore[operator]
        for module, before in zip(modules, training, strict=True):
            module.training = before


def recomputes(model: nn.Module) -> bool:
    """Return whether a model's activations are recomputed in backward passes."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _modules(model: nn.Module, blocks: str | None) -> list[nn.Module]:
    decoder = find_decoder(model, blocks)
    return [decoder.stack, *decoder.blocks]


def _switch(model: Any, what: str, *arguments: Any) -> None:
    with warnings.catch_warnings():
        # transformers 5 renames these methods; the old names work in all versions of it.
        warnings.simplefilter("ignore", FutureWarning)
        getattr(model, f"gradient_checkpointing_{what}")(*arguments)
